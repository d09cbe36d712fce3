"""`make up` and `make down`: a cluster, a stack on it, and a probe that finds its traces.

They are for the first five minutes and for trying changes, and are no deployment tool: on a cluster of your own, the
plain Pulumi CLI deploys with a backend and a stack of your own (docs/how-to/deploy-to-a-cluster.md).
"""
