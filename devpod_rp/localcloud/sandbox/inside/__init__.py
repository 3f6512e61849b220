"""Programs that are copied into a pod's image and run there, with nothing but the standard library."""
