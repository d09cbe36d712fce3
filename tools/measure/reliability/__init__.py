"""What is lost, and when: requests at a constant rate, faults in the real processes, and every trace looked up after.

It uses the program from outside, on the lab. `tests/lab/reliability` runs it briefly, `make reliability` in full.
"""
