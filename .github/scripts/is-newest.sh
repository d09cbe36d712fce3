#!/usr/bin/env bash
# Stops a deployment whose commit is not the newest of its branch. Reviewers may approve runs in another order than their commits
# were made, and an older commit must not undo a newer one.
set -euo pipefail
newest="$(gh api "repos/$GITHUB_REPOSITORY/commits/$GITHUB_REF_NAME" --jq .sha)"
if [ "$newest" != "$GITHUB_SHA" ]; then
  echo "::error::$GITHUB_REF_NAME is at $newest by now. The run of that commit deploys it, together with the changes of this one."
  exit 1
fi
