"""Generates random configurations, and has the deployed programs read the documents of the accepted ones."""
