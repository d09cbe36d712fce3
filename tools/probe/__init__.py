"""Sends requests through the stack and finds the trace of each one in Tempo.

It uses the program from outside only: stack outputs and configuration, HTTP and the cluster's API.
"""
