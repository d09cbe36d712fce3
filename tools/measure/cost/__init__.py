"""Measures costs as ratios: each measurement compares two things within one run, since machines differ."""
