"""The only I/O: one file per neighbour, one third-party package per file."""
