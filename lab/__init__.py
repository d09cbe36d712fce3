"""The embedded lab: a one-node Kubernetes cluster made from package registries alone.

For trying and testing nginx-tracing where no container image can be pulled. It is not a cluster to put
anything else on: one node, one user, certificates for a year, no persistence beyond `make lab-down`.
"""
