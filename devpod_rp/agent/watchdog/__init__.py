"""The process in the pod that holds it to its limits, with or without the laptop."""
