"""The pod's end of the synchronisation: resolve, stage, verify, rename, watch, answer."""
