"""What a change would do to each environment, as one comment on its pull request.

It reads what `pulumi preview --json` wrote and talks to nobody: a workflow runs the previews and posts the comment.
"""
