"""Writes Grafana's dashboards, `monitoring/dashboards/*.json`, from code."""
