"""Reads Kubernetes objects as the API writes them. The API leaves out empty values at any depth."""

from typing import Any, cast

Object = dict[str, Any]


def section(item: Object, *keys: str) -> Object:
    """Returns the mapping at a path; an empty one if there is none."""
    for key in keys:
        found = item.get(key)
        item = cast("Object", found) if isinstance(found, dict) else {}
    return item


def listed(item: Object, *keys: str) -> list[Object]:
    """Returns the mappings in the list at a path; none if there is no list."""
    found = section(item, *keys[:-1]).get(keys[-1])
    each = cast("list[Any]", found) if isinstance(found, list) else []
    return [cast("Object", item) for item in each if isinstance(item, dict)]


def labels(item: Object) -> dict[str, str]:
    """Returns an object's labels."""
    return section(item, "metadata", "labels")
