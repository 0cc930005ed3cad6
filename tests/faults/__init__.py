"""Faults: what dies, fills up or turns read-only, against real programs."""
