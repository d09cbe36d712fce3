"""The version of the program, which `pulumi up` prints and the docs name."""

VERSION = "0.5.0"
"""One place: CHANGELOG.md must have a section of this version, which a test checks."""
