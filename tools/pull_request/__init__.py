"""Writes the effect of a change on each environment as one comment for its pull request.

It reads the files of `pulumi preview --json` and opens no connection: a workflow runs the previews and posts the
comment.
"""
