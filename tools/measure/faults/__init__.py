"""Causes faults in the stack's real processes under constant traffic, and counts the requests and spans they cost.

`tests/lab/measure` runs the scenarios briefly, `make reliability` in full.
"""
