"""What was installed in one container, noted on the volume, and brought back in the next."""
