"""Servers in the pod for editors and browsers: brought up whole or not at all."""
