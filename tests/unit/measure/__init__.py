"""Unit tests of what measures."""
