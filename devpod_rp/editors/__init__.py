"""Opening an environment in an editor; ``registry.editor(name)`` finds one."""
