"""One probe a file; its name here is its name in `probe=...`."""
