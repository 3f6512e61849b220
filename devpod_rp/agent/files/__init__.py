"""Files as both ends handle them: walked, hashed, copied, written so that a crash leaves the old or the new."""
