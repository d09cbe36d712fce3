"""Mutants of the program: small breakages of components/ and settings/, of which each should fail a unit test."""
