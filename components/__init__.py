"""The stack's components: TempoBackend, OtelCollector, NginxOtel and NginxPlusImage.

Nothing here reads Pulumi's configuration or the environment. The folders hold what the components share: `plan` lists
what a stack makes, `cluster` asks the cluster, `kubernetes` makes objects, and `documents` writes the programs' files.
"""
