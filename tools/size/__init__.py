"""Computes how large a stack has to be for a load, from what was measured and what the programs' makers publish."""
