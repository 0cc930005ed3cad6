"""One Consul agent for the whole directory, a lab for each test."""

from tests.lab.world import agent, consul, lab

__all__ = ["agent", "consul", "lab"]
