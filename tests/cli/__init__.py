"""The command line: what every command promises, whatever it is given."""
