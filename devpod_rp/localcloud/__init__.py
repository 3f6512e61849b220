"""RunPod on this machine: the same HTTP API, with sandboxes for pods. Meets the launcher only over HTTP and SSH."""
