"""The stack's components. None of them reads configuration or the environment."""
