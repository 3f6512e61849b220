"""What makes a new container its user's own: kept paths, keys, variables, hooks, dotfiles, packages."""
