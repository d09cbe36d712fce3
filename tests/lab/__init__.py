"""Tests on a real cluster with the real engine, NGINX, Collector and Tempo."""
