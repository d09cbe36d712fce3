"""Unit tests of the page of traces."""
