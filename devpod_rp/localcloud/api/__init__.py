"""The HTTP API: RunPod's REST v2 below ``/v2``, our own administration below ``/local``."""
