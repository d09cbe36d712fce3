"""Tests in which real programs read what the program and its tools write. They need no cluster."""
