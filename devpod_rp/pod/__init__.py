"""The launcher's end of the agent in the pod, and waiting until a pod can be spoken to."""
