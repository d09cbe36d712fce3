"""Measurements that the README quotes. Each compares two things in one run, on the embedded lab."""
