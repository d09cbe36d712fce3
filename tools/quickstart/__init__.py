"""`make up` and `make down`: a cluster, a stack on it, and proof that it traces.

For the first five minutes and for trying changes. Not a deployment tool: on a cluster of one's own the plain
Pulumi CLI does the same with a backend and a stack of one's own (README, "On your own cluster").
"""
