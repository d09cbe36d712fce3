"""`python -m tools drift`."""
