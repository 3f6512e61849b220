"""Code that runs inside the pod: standard library only, Python >= 3.8; the launcher imports it for the same work."""
