"""The background process that keeps one environment in sync and in touch: ``python -m devpod_rp.keeper NAME``."""
