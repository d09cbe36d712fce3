"""The harness of `reliability`, briefly: what it finds is in `make reliability`."""
