"""Reads Kubernetes objects as the API writes them: what is empty is left out there, at any depth."""

from typing import Any, cast

Object = dict[str, Any]


def section(item: Object, *keys: str) -> Object:
    """The mapping at a path; an empty one where there is none."""
    for key in keys:
        found = item.get(key)
        item = cast("Object", found) if isinstance(found, dict) else {}
    return item


def listed(item: Object, *keys: str) -> list[Object]:
    """The mappings in the list at a path; none where there is none."""
    found = section(item, *keys[:-1]).get(keys[-1])
    each = cast("list[Any]", found) if isinstance(found, list) else []
    return [cast("Object", item) for item in each if isinstance(item, dict)]


def labels(item: Object) -> dict[str, str]:
    """An object's labels."""
    return section(item, "metadata", "labels")
