"""Deploys the baseline: the stack of one widely copied tutorial, as plain manifests."""
