"""Runs the one node of the lab: its programs, its network, its certificates and volumes."""
