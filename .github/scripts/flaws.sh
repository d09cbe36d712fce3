#!/usr/bin/env bash
# Names the known flaws of Go programs that lab/README.md neither names nor explains, and exits with 1 if there are any.
# Its argument is the folder of the programs. govulncheck and jq have to be on PATH.
#
# The lab's programs have no symbols, so govulncheck reports the flaws of all modules in them, used or not.
set -euo pipefail

programs=$(go version "$1" | sed 's/: go[^:]*$//')
if [ -z "$programs" ]; then
  echo "No Go program is in $1: the cache of the checks is empty." >&2
  exit 2
fi
status=0
while IFS= read -r program; do
  unexplained=$(govulncheck -format json -mode binary "$program" | jq --slurp --raw-output --rawfile page lab/README.md '
    ([.[].finding.osv // empty] | unique) as $found
    | .[].osv // empty
    | select(.id | IN($found[]))
    | [.id, (.aliases // [])[]]
    | select(any(. as $name | $page | contains($name)) | not)
    | join(" ")')
  if [ -n "$unexplained" ]; then
    printf '%s\n%s\n' "$(basename "$program"):" "$unexplained"
    status=1
  fi
done <<< "$programs"
exit "$status"
