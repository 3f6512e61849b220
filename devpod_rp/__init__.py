"""devpod_rp: a remote GPU machine on RunPod that feels like the laptop."""

__version__ = "0.1.0"
