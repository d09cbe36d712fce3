#!/usr/bin/env bash
# Stops a deployment whose commit is not the newest of its branch: approvals may be given in another order than commits were made
# in, and an older commit must not undo a newer one.
set -euo pipefail
newest="$(gh api "repos/$GITHUB_REPOSITORY/commits/$GITHUB_REF_NAME" --jq .sha)"
if [ "$newest" != "$GITHUB_SHA" ]; then
  echo "::error::$GITHUB_REF_NAME is at $newest by now, whose own run deploys it, with this commit's changes."
  exit 1
fi
