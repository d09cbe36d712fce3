"""Makes the Kubernetes objects, in the shape that all components share.

Imports Pulumi's Kubernetes SDK, which takes 0.7 s: the program imports this room while it waits for the API server.
"""
