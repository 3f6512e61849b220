"""What the user asked for: files, variables and flags merged into one validated `EnvironmentSpec`."""
