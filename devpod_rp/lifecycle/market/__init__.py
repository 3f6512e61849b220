"""What can be had: which machine fulfils a wish, on what volume, for how much."""
