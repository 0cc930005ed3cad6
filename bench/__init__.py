"""Measurements on real programs."""
