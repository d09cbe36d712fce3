"""Runs the scenarios of `make reliability` briefly."""
