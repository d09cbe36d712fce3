#!/usr/bin/env bash
# Previews a stack for `python -m tools comment`: preview.sh STACK FOLDER writes FOLDER/STACK.json and FOLDER/STACK.events.
# Its exit code is that of `pulumi preview`.
set -euo pipefail
stack="$1" folder="$2"
mkdir -p "$folder"
# The event log has the policies' violations, which the JSON lacks. Pulumi offers --event-log only with this variable set.
status=0
PULUMI_DEBUG_COMMANDS=true pulumi preview --stack "$stack" --non-interactive --policy-pack policy \
  --json --event-log "$folder/$stack.events" > "$folder/$stack.json" 2> "$folder/$stack.errors" || status=$?
cat "$folder/$stack.errors" >&2
# Pulumi writes no JSON when it fails before the preview begins, for example because the stack does not exist.
if [ ! -s "$folder/$stack.json" ]; then
  cp "$folder/$stack.errors" "$folder/$stack.json"
fi
rm "$folder/$stack.errors"
exit "$status"
