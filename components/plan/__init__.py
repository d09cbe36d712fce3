"""Lists what a stack makes, from its settings alone. Imports no part of Pulumi's Kubernetes SDK, which takes 0.7 s."""
