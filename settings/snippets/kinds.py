"""Checks values of NGINX's plain types, such as flags, numbers, sizes and times.

Source: the functions `ngx_conf_set_…_slot` in NGINX's source. The table of directives tells which directive has which.
"""

import re

from settings.nginx_directives import Known
from settings.nginx_tree import Directive

_TO_MINUTES = r"(\d+w *)?(\d+d *)?(\d+h *)?(\d+m(?!s) *)?"
SECONDS = rf"(?=\d)(\d+y *)?(\d+M *)?{_TO_MINUTES}(\d+s *)?(\d+)?"
"""The pattern of a time in whole seconds (`ngx_parse_time` with `is_sec`)."""

TIME = rf"(?=\d){_TO_MINUTES}(\d+s *)?(\d+(ms)?)?"
"""The pattern of a time that may be in milliseconds, which NGINX reads without years and months."""

SIZE = r"\d+[kKmMgG]?"
"""The pattern of a size of up to gigabytes (`ngx_parse_offset`)."""

_A_TIME = "a time, such as 30s or 1h30m"
_KINDS: dict[str, tuple[str, str]] = {
    "flag": ("(?i:on|off)", "on or off"),
    "number": (r"\d{1,15}", "a whole number"),
    "size": (r"\d+[kKmM]?", "a size, such as 16k or 1m"),
    "offset": (SIZE, "a size, such as 16k, 10m or 1g"),
    "time": (TIME, _A_TIME),
    "seconds": (SECONDS, _A_TIME),
}
"""The pattern of each plain type, and its name for people."""


def value_of_kind(directive: Directive, known: Known) -> str | None:
    """Returns why a directive's value is not of the plain type that the table names; none if it is, or has none."""
    arguments = directive.arguments
    if known.kind in _KINDS and arguments:
        pattern, wanted = _KINDS[known.kind]
        if not re.fullmatch(pattern, arguments[0]):
            return f"must be {wanted}, not `{arguments[0]}`"
        return _out_of_bounds(arguments[0], known) if known.kind == "number" and known.words else None
    if known.kind == "buffers":
        valid = re.fullmatch(r"0*[1-9]\d*", arguments[0]) and re.fullmatch(r"0*[1-9]\d*[kKmM]?", arguments[1])
        return None if valid else "must be a number and a size, such as 8 16k"
    if known.kind in {"enum", "mask"} and known.words:
        # NGINX compares the words of an `enum` and of a `mask` alike, without regard to case.
        words = {word.lower() for word in known.words}
        other = next((argument for argument in arguments if argument.lower() not in words), None)
        return f"takes {', '.join(known.words)}, not `{other}`" if other is not None else None
    return None


def _out_of_bounds(number: str, known: Known) -> str | None:
    least, most = (int(word) for word in known.words)
    if most < 0:
        # NGINX writes -1 for no upper bound.
        return None if least <= int(number) else f"must be at least {least}, not {number}"
    return None if least <= int(number) <= most else f"must be from {least} to {most}, not {number}"
