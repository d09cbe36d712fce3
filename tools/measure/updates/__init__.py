"""Measures what Pulumi's commands change, leave behind and recover."""
