"""Checks what people write in `extraConfig`, before anything is created.

`rules` runs all checks. A directive by itself: `directives`, `kinds`, `values`, `arguments`, `tables`, `repeats`.
Together with the rest of the configuration: `keys`, `variables`, `zones`, `logs`, `servers`, `locations`, `files`,
`blocks` (`buffers`, `certificates`) and `upstreams`. Accepted, but probably not meant: `warnings` and `egress`.
"""
