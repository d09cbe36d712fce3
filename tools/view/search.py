"""Converts what Lens asks for into TraceQL, which Tempo's search reads: https://grafana.com/docs/tempo/latest/traceql/."""

import json
import math
import re
from collections.abc import Mapping

from tools.view.spans import PEERS

ERROR = "error"
"""The key by which Zipkin's users look for spans that failed."""

KIND = "span:kind"
"""The key, TraceQL's own, for the kind of a span."""

_KINDS = ("server", "client", "producer", "consumer", "internal")


def traceql(asked: Mapping[str, str]) -> str:
    """Returns the query for a search of Lens: traces with one span that has all that is asked for.

    Args:
        asked: the parameters of Zipkin's `/api/v2/traces`. Durations are in microseconds.
    """
    conditions = [
        *_equals("resource.service.name", asked.get("serviceName")),
        *_equals("name", asked.get("spanName")),
        *_peers(asked.get("remoteServiceName")),
        *_duration(">=", asked.get("minDuration")),
        *_duration("<=", asked.get("maxDuration")),
        *(_tag(part) for part in asked.get("annotationQuery", "").split(" and ") if part.strip()),
    ]
    # Tempo 2.8 and later then return the newest traces; older ones ignore the hint.
    return f"{{ {' && '.join(conditions)} }} with (most_recent=true)"


def of_service(service: str) -> str:
    """Returns the query for the spans of a service."""
    return f"{{ {''.join(_equals('resource.service.name', service))} }}"


def attribute(key: str, scope: str = "") -> str:
    """Returns an attribute as TraceQL writes it; without a scope, one of the span or of its resource."""
    return f"{scope}.{key}" if re.fullmatch(r"[A-Za-z_][\w.-]*", key, re.ASCII) else f"{scope}.{_quoted(key)}"


def _equals(field: str, value: str | None) -> list[str]:
    return [f"{field} = {_quoted(value)}"] if value else []


def _peers(name: str | None) -> list[str]:
    if not name:
        return []
    options = [f"{attribute(key, 'span')} = {_quoted(name)}" for key in PEERS]
    return [f"({' || '.join(options)})"]


def _duration(comparison: str, microseconds: str | None) -> list[str]:
    return [f"duration {comparison} {int(microseconds)}us"] if microseconds and microseconds.isdecimal() else []


def _tag(text: str) -> str:
    """Returns the condition for `key=value`, for `key>=number`, or for `key` alone.

    Raises:
        ValueError: it compares in a way that the page does not know.
    """
    key, compared, value = (part.strip() for part in [*re.split(r"([<>]=?|=)", text, maxsplit=1), "", ""][:3])
    if key == ERROR:
        return "status = error"
    if key.endswith("!") or (compared not in ("", "=") and not _typed(value)):
        raise ValueError(f"{text}: write key=value, key>=number (also >, <=, <), key=nil, or the key alone")
    if not compared:
        return f"{attribute(key)} != nil"
    if (compared, value) == ("=", "nil"):
        return _absent(attribute(key))
    if compared != "=":
        return f"{attribute(key)} {compared} {value}"
    if key == KIND and value in _KINDS:
        return f"kind = {value}"
    # TraceQL compares by type: an HTTP status is a number, and as a text it would match nothing.
    typed = [value] if _typed(value) or value in ("true", "false") else []
    options = [f"{attribute(key)} = {each}" for each in [_quoted(value), *_unquoted(value), *typed]]
    return options[0] if len(options) == 1 else f"({' || '.join(options)})"


def _absent(key: str) -> str:
    # Older versions of Tempo refuse `= nil`, and `!(… != nil)` finds nothing unless another condition holds for all:
    # https://github.com/grafana/tempo/issues/2188.
    return f"({key} != nil || duration >= 0ns) && !({key} != nil)"


def _typed(value: str) -> bool:
    """Tells whether TraceQL reads a text as a number. It takes `08` for an octal one, and refuses it."""
    if not re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", value):
        return False
    return abs(float(value)) < math.inf if "." in value else len(value) <= 20 and abs(int(value)) < 2**63


def _unquoted(value: str) -> list[str]:
    """Returns what a text in quotes is, as JSON escapes it: so a value with " and " can be written."""
    try:
        text = json.loads(value) if value.startswith('"') else None
    except ValueError:
        return []
    return [_quoted(text)] if isinstance(text, str) else []


def _quoted(text: str) -> str:
    # JSON's escapes are among those of Go, which Tempo reads.
    return json.dumps(text, ensure_ascii=False)
