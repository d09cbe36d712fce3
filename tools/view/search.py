"""Converts what Lens asks for into TraceQL, which Tempo's search reads: https://grafana.com/docs/tempo/latest/traceql/."""

import json
import re
from collections.abc import Mapping

from tools.view.spans import PEERS

ERROR = "error"
"""The key by which Zipkin's users look for spans that failed."""


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
    """Returns the condition for `key=value`, or for `key` alone."""
    key, equals, value = (part.strip() for part in text.strip().partition("="))
    if key == ERROR:
        return "status = error"
    if not equals:
        return f"{attribute(key)} != nil"
    # TraceQL compares by type: an HTTP status is a number, and as a text it would match nothing.
    typed = [value] if re.fullmatch(r"-?\d+(\.\d+)?|true|false", value) else []
    options = [f"{attribute(key)} = {each}" for each in [_quoted(value), *typed]]
    return options[0] if len(options) == 1 else f"({' || '.join(options)})"


def _quoted(text: str) -> str:
    # JSON's escapes are among those of Go, which Tempo reads.
    return json.dumps(text, ensure_ascii=False)
