"""Keeping what makes a container disk differ from its image, and putting it back on another."""
