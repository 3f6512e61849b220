"""Bringing to safety what a stop would destroy, and putting it back."""
