"""Whose money is spent: the cloud, its key, the stamp on what is ours and the books of what was made."""
