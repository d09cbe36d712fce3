"""Tests the lab's NGINX module and the program's documents: a real NGINX against a real OTLP receiver."""
