"""Runs the embedded lab: a one-node Kubernetes cluster that is built from package registries alone.

It serves to try and test nginx-tracing where no container image can be pulled. Put nothing else on it: it has one node
and one user, its certificates are valid for a year, and `make lab-down` removes everything in it.
"""
