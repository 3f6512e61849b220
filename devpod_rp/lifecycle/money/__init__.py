"""What things cost, what was spent, and when the money ends."""
