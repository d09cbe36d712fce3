"""Measures what faults and load lose and what the program and tracing cost, from outside the program, on the lab."""
