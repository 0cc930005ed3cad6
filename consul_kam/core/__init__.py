"""The pure core: values in, decisions out. No I/O, no clock, no threads; time is always an argument."""
