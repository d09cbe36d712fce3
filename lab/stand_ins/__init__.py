"""Stands in for what no package registry has: the OpenTelemetry module of NGINX, NGINX Plus and its repository."""
