"""The machine and the container that the agent finds itself in: mounts, processes, who is at work."""
