"""One Adapter for each dataset, found by file name."""
