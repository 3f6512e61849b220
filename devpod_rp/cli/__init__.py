"""What a person types: parse, call, render. Nothing here decides anything that Python callers would miss."""
