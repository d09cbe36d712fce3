"""Compares two versions of a resource's inputs line by line, without its secrets.

Inputs are the fields that the program sets. Outputs also have fields that the cluster adds, and are not compared.
"""

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import cast

import yaml
from pydantic import JsonValue

from tools.pull_request import markdown

SECRET = "[secret]"  # noqa: S105 - the engine's replacement for a secret
KNOWN_LATER = "known after deployment"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The engine's placeholder for a value that does not exist yet."""
SECRET_MARK = "4dabf18193072939515e22adb298388d"  # noqa: S105 - the key of a wrapped secret
AUTONAMED = "pulumi.com/autonamed"
# Pulumi and kubectl add these. The second one repeats the object, secrets included.
_OF_TOOLS = {AUTONAMED, "kubectl.kubernetes.io/last-applied-configuration"}
GENERATED_NAME = re.compile(r"(?<![a-z0-9.-])[a-z0-9.-]+-[0-9a-f]{8}")
"""A name with the random end that Pulumi gives to objects without one."""
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

Object = dict[str, JsonValue]


def is_auto_named(inputs: Object) -> bool:
    """Tells whether Pulumi generates the object's name, with another end for each version."""
    metadata = section(inputs, "metadata")
    return "name" not in metadata or section(metadata, "annotations").get(AUTONAMED) == "true"


def section(inputs: Object, key: str) -> Object:
    """Returns the object under a key; an empty one where the value is no object."""
    value = inputs.get(key)
    return value if isinstance(value, dict) else {}


def showable(old: Object, new: Object, later_names: Collection[str] = ()) -> tuple[Object, Object]:
    """Returns two versions of an object's inputs as they may be shown.

    Args:
        old: the inputs that are deployed; empty for a new object.
        new: the inputs that the program asks for now.
        later_names: names that this preview generated, and for which the deployment generates others.
    """
    is_secret = "Secret" in (old.get("kind"), new.get("kind"))
    old, new = (_without_tools_annotations(cast("Object", _masked(inputs))) for inputs in (old, new))
    if is_secret:
        old, new = _without_data(old, new)
    return old, cast("Object", _with_later_values(new, later_names))


def difference(old: Object, new: Object, reported: Mapping[str, JsonValue] | None = None) -> str:
    """Returns the lines of a unified diff.

    Args:
        old: the inputs that are deployed, as they may be shown.
        new: the inputs that the program asks for, as they may be shown.
        reported: the fields that differ according to the engine; some differ only in secrets.
    """
    fields: list[str] = []
    documents: list[str] = []
    paths: list[str] = []
    for path, lines, is_document in _differences(old, new, ""):
        paths.append(path)
        (documents if is_document else fields).extend(lines)
    for path in reported or {}:
        if not any(_is_within(path, shown) or _is_within(shown, path) for shown in paths):
            fields.append(f"! {path}: changes; its value is secret, or not among the inputs")
    return "\n".join(fields + documents)


def as_yaml(inputs: Object) -> str:
    """Returns a whole new object as YAML."""
    return yaml.dump(inputs, Dumper=BlockDumper, allow_unicode=True, width=1000)


class BlockDumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, not as one quoted line."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    if style:
        # YAML has no block for a text with tabs, control characters or blanks at a line's end.
        text = "\n".join(line.expandtabs(8).rstrip() for line in markdown.clean(text).split("\n"))
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)  # pyright: ignore[reportUnknownMemberType]


BlockDumper.add_representer(str, _text)


def _masked(value: JsonValue) -> JsonValue:
    """Replaces wrapped secrets, and removes the provider's own keys."""
    if isinstance(value, dict):
        if SECRET_MARK in value:
            return SECRET
        return {key: _masked(item) for key, item in value.items() if not key.startswith("__")}
    return [_masked(item) for item in value] if isinstance(value, list) else value


def _without_tools_annotations(inputs: Object) -> Object:
    metadata = section(inputs, "metadata")
    if "annotations" not in metadata:
        return inputs
    kept: Object = {key: value for key, value in section(metadata, "annotations").items() if key not in _OF_TOOLS}
    others: Object = {key: value for key, value in metadata.items() if key != "annotations"}
    if kept:
        others["annotations"] = kept
    return {**inputs, "metadata": others}


def _without_data(old: Object, new: Object) -> tuple[Object, Object]:
    """Keeps a Secret's keys and hides its values: the JSON has those in plain text that the program did not mark."""
    for name in ("data", "stringData"):
        before, after = section(old, name), section(new, name)
        changed = {key for key in before.keys() & after.keys() if before[key] != after[key]}
        hidden_before: Object = dict.fromkeys(before, SECRET)
        hidden_after: Object = {key: f"{SECRET}, another one" if key in changed else SECRET for key in after}
        old = {**old, name: hidden_before or SECRET} if old.get(name) else old
        new = {**new, name: hidden_after or SECRET} if new.get(name) else new
    return old, new


def _with_later_values(value: JsonValue, later_names: Collection[str]) -> JsonValue:
    if isinstance(value, str):
        known = GENERATED_NAME.sub(lambda name: KNOWN_LATER if name[0] in later_names else name[0], value)
        return known.replace(UNKNOWN, KNOWN_LATER)
    if isinstance(value, list):
        return [_with_later_values(item, later_names) for item in value]
    if isinstance(value, dict):
        return {key: _with_later_values(item, later_names) for key, item in value.items()}
    return value


_Difference = tuple[str, list[str], bool]
"""A path, its lines, and whether they are those of a document."""


def _differences(old: JsonValue, new: JsonValue, path: str) -> Iterator[_Difference]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _pair(old, new, key, _below(path, key))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lists(old, new, path)
    elif isinstance(old, str) and "\n" in old and new == KNOWN_LATER:
        # Its lines are not shown as removed: some may be in the new text, which is not known yet.
        yield path, [f"- {path}: {len(old.splitlines())} lines", f"+ {path}: {KNOWN_LATER}"], False
    elif isinstance(old, str) and isinstance(new, str) and "\n" in old + new:
        yield _document(old, new, path)
    else:
        yield from _leaves(old, path, "-")
        yield from _leaves(new, path, "+")


def _pair(old: Object, new: Object, key: str, path: str) -> Iterator[_Difference]:
    if key not in new:
        yield from _leaves(old[key], path, "-")
    elif key not in old:
        yield from _leaves(new[key], path, "+")
    else:
        yield from _differences(old[key], new[key], path)


def _lists(old: list[JsonValue], new: list[JsonValue], path: str) -> Iterator[_Difference]:
    """Pairs items of the same name, as Kubernetes does, and others by their neighbours."""
    old_names, new_names = _names(old), _names(new)
    if old_names and new_names:
        for name, index in old_names.items():
            if name in new_names:
                yield from _differences(old[index], new[new_names[name]], f"{path}[{new_names[name]}]")
            else:
                yield from _leaves(old[index], f"{path}[{index}]", "-")
        for name, index in new_names.items():
            if name not in old_names:
                yield from _leaves(new[index], f"{path}[{index}]", "+")
        return
    old_texts, new_texts = ([json.dumps(item, sort_keys=True) for item in items] for items in (old, new))
    for tag, start, end, new_start, new_end in difflib.SequenceMatcher(
        None, old_texts, new_texts, autojunk=False
    ).get_opcodes():
        if tag == "equal":
            continue
        pairs = min(end - start, new_end - new_start)
        for offset in range(pairs):
            yield from _differences(old[start + offset], new[new_start + offset], f"{path}[{new_start + offset}]")
        for index in range(start + pairs, end):
            yield from _leaves(old[index], f"{path}[{index}]", "-")
        for index in range(new_start + pairs, new_end):
            yield from _leaves(new[index], f"{path}[{index}]", "+")


def _names(items: list[JsonValue]) -> dict[str, int]:
    """Returns the items' indices by their names; empty unless each item has a name of its own."""
    names = {item["name"]: index for index, item in enumerate(items) if isinstance(item, dict) and "name" in item}
    found = {name: index for name, index in names.items() if isinstance(name, str)}
    return found if len(found) == len(items) else {}


def _leaves(value: JsonValue, path: str, sign: str) -> Iterator[_Difference]:
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _leaves(value[key], _below(path, key), sign)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]", sign)
    elif isinstance(value, str) and "\n" in value:
        yield _document(value, "", path) if sign == "-" else _document("", value, path)
    else:
        yield path, [f"{sign} {path}: {_plain(value)}"], False


def _plain(value: JsonValue) -> str:
    is_said = isinstance(value, str) and (value == KNOWN_LATER or value.startswith(SECRET))
    return str(value) if is_said else json.dumps(value, ensure_ascii=False)


def _document(old: str, new: str, path: str) -> _Difference:
    lines = list(difflib.unified_diff(_lines(old), _lines(new), lineterm=""))[2:]
    return path, [f"{line} {path}" if line.startswith("@@") else line for line in lines], True


def _lines(text: str) -> list[str]:
    # Not `splitlines`, which also splits at a form feed. Line ends are shown: they may be the only difference.
    lines = text.replace("\r", "␍").split("\n")
    return lines[:-1] if not lines[-1] else [*lines, "\\ No newline at end of file"]


def _below(path: str, key: str) -> str:
    """Returns a field's path as Pulumi writes it."""
    if not _PLAIN_KEY.fullmatch(key):
        return f"{path}[{json.dumps(key, ensure_ascii=False)}]"
    return f"{path}.{key}" if path else key


def _is_within(path: str, other: str) -> bool:
    return path == other or path.startswith((f"{other}.", f"{other}["))
