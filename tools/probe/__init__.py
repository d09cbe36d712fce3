"""Sends requests through the stack and finds the trace of each one again.

It uses the program from outside only: stack outputs, HTTP and the cluster's API.
"""
