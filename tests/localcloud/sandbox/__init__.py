"""Pods as real machines: what they see, keep, lose and run."""
