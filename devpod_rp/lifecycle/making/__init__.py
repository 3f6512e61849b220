"""From a wish to a pod that can be handed over, and never two."""
