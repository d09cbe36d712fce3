"""Builds the programs of the lab from package registries, and images from the programs."""
