"""Three-way synchronisation of a project folder with its workspace on the pod."""
