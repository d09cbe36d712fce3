"""Tests of the lab's NGINX module: the real NGINX against a real OTLP receiver."""
