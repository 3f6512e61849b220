"""SSH as its users know it: our key, pinned host keys, the configuration editors read, and our own connections."""
