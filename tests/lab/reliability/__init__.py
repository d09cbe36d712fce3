"""The scenarios of `make reliability`, briefly: what it finds is in `make reliability`."""
