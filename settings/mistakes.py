"""What a person is told of a mistake: where it is, what is wrong, what is allowed, the command that mends it."""

import difflib
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from settings.schema import aliased, bare_type, is_model, item_type

PROJECT = "nginx-tracing"

Place = tuple[str | int, ...]
"""Where a value is: keys, and numbers of list items."""


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong."""

    place: Place
    wrong: str
    """What is wrong with it and what is allowed."""

    mend: str
    """The command that mends it."""

    value: str | None = None
    """The value as it may be shown; none where there is none."""

    def __str__(self) -> str:
        shown = "" if self.value is None else f" = {self.value}"
        return f"  {PROJECT}:{path(self.place)}{shown}\n    {self.wrong}\n    {self.mend}"


def path(place: Place) -> str:
    """A place as `pulumi config set --path` takes it."""
    written = ""
    for part in place:
        if isinstance(part, int):
            written += f"[{part}]"
        elif re.fullmatch(r"[\w-]+", part):
            written += f".{part}" if written else part
        else:
            written += f"[{json.dumps(part)}]"
    return written


def set_command(place: Place, value: object, *, secret: bool = False) -> str:
    """The command that sets a value; a secret is read from a file instead."""
    flags = ("--secret " if secret else "") + ("--path " if len(place) > 1 else "")
    written = "< file" if secret else shlex.quote(str(value))
    if not secret and str(value).startswith("-"):
        written = f"-- {written}"
    return f"pulumi config set {flags}{shlex.quote(path(place))} {written}"


def remove_command(place: Place) -> str:
    """The command that removes a value."""
    return f"pulumi config rm {'--path ' if len(place) > 1 else ''}{shlex.quote(path(place))}"


def explain(problem: ErrorDetails, model: type[BaseModel], is_secret: Callable[[str], bool]) -> Mistake:
    """One of pydantic's complaints, in a person's words.

    Args:
        problem: the complaint.
        model: the model that was validated.
        is_secret: whether a top-level key is a secret to Pulumi, no value beneath which is shown.
    """
    place: Place = problem["loc"]
    if place[-1] == "[key]":
        return Mistake(place[:-1], f"the key {_what_is_wrong(problem)}", remove_command(place[:-1]))
    if problem["type"] == "extra_forbidden":
        return _unknown_key(place, model)
    if problem["type"] == "missing":
        return Mistake(place, "is required", _mend(place, model))
    hidden = is_secret(str(place[0])) or _holds_secret(_annotation_at(model, place))
    shown = "[secret]" if hidden else _shortened(json.dumps(problem["input"], ensure_ascii=False))
    return Mistake(place, _what_is_wrong(problem), _mend(place, model), shown)


def _shortened(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:99]}…"


def _unknown_key(place: Place, model: type[BaseModel]) -> Mistake:
    around = _annotation_at(model, place[:-1])
    known = sorted(aliased(around)) if is_model(around) else []
    near = difflib.get_close_matches(str(place[-1]), known, n=1)
    meant = f"did you mean `{near[0]}`? " if near else ""
    return Mistake(place, f"there is no such key; {meant}Known here: {', '.join(known)}", remove_command(place))


_AN_OBJECT = "must be an object: set its keys one by one"
_WORDS = {
    "literal_error": "must be {expected}",
    "model_type": _AN_OBJECT,
    "model_attributes_type": _AN_OBJECT,
    "dict_type": _AN_OBJECT,
    "list_type": "must be a list: set its items one by one, `[0]` first",
    "too_short": "must have at least {min_length} item",
    "string_too_short": "must not be empty",
    "string_too_long": "must be at most {max_length} characters",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "decimal_type": "must be a number",
    "decimal_parsing": "must be a number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}
"""What pydantic's complaints mean to a person, by their type."""


def _what_is_wrong(problem: ErrorDetails) -> str:
    context = problem.get("ctx", {})
    if problem["type"] == "value_error":
        return str(context["error"])
    words = _WORDS.get(problem["type"])
    return words.format(**context) if words else problem["msg"].replace("Input should be", "must be")


def _mend(place: Place, model: type[BaseModel]) -> str:
    around, name = _annotation_at(model, place[:-1]), place[-1]
    if is_model(around) and isinstance(name, str) and name in aliased(around):
        field = aliased(around)[name]
        if _holds_secret(field.annotation):
            return set_command(place, "", secret=True) if not _is_container(field) else remove_command(place)
        good = field.examples[0] if field.examples else field.get_default()
        if isinstance(good, str | int) and good != "" and not str(good).startswith("-----"):
            return set_command(place, str(good).lower() if isinstance(good, bool) else good)
    elif bare_type(_annotation_at(model, place)) is SecretStr:
        return set_command(place, "", secret=True)
    return remove_command(place)


def _is_container(field: FieldInfo) -> bool:
    annotation = bare_type(field.annotation)
    return is_model(annotation) or item_type(annotation) is not None


def _annotation_at(model: type[BaseModel], place: Place) -> Any:
    """The bare type of a place; none where there is no such place."""
    annotation: Any = model
    for part in place:
        if is_model(annotation):
            field = aliased(annotation).get(str(part))
            annotation = bare_type(field.annotation) if field else None
        else:
            annotation = item_type(annotation)
    return annotation


def _holds_secret(annotation: Any) -> bool:
    """Whether a value of this type is a secret or has one in it."""
    annotation = bare_type(annotation)
    if is_model(annotation):
        return any(_holds_secret(field.annotation) for field in aliased(annotation).values())
    item = item_type(annotation)
    return annotation is SecretStr or (item is not None and _holds_secret(item))
