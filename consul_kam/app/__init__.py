"""The shell that joins core, datasets and adapters."""
