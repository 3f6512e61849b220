"""How a pod looks to those who log in: the same server after a wipe, and the same variables in every shell."""
