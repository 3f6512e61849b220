"""What a stop would destroy: what came since the image, and what of it is a copy or comes back by itself."""
