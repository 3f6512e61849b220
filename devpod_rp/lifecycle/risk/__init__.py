"""What the end of a pod would destroy, who decides about it, and bringing it back."""
