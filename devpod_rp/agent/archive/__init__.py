"""An archive of a container disk: its format, where it lies on the volume, and which files it holds as they are."""
