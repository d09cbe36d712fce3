"""What a person is told of an error: where it is, what is wrong, what is allowed, the command that mends it."""

import difflib
import json
import re
import shlex
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast, get_origin

from pydantic import BaseModel, SecretStr
from pydantic_core import ErrorDetails

from settings.schema import aliased, bare_type, is_marked, is_model, is_text, item_type
from settings.types import Hidden, NearMissError

PROJECT = "nginx-tracing"
SECRET = "[secret]"  # noqa: S105 - what stands in the place of one

QUOTE_AND_BACKSLASH = "'\\"
"""What has a meaning within `$'…'`."""

Place = tuple[str | int, ...]
"""Where a value is: keys, and numbers of list items."""


@dataclass(frozen=True)
class ConfigError:
    """One thing that is wrong."""

    place: Place
    message: str
    """What is wrong with it and what is allowed."""

    fix: str
    """The command that mends it."""

    value: str | None = None
    """The value as it may be shown; none where there is none."""

    echoed: tuple[str, ...] = ()
    """What of the configuration stands in the other two."""

    def __str__(self) -> str:
        shown = "" if self.value is None else f" = {self.value}"
        return f"  {PROJECT}:{_printable(path(self.place))}{shown}\n    {self.message}\n    {self.fix}"


@dataclass(frozen=True)
class RuleViolation:
    """A rule that is broken."""

    error: ConfigError
    others: tuple[Place, ...] = ()
    """Places besides the error's own that it depends on; where one is itself faulty, this is not reported."""

    @property
    def places(self) -> tuple[Place, ...]:
        """All places that it depends on."""
        return (self.error.place, *self.others)


def needs(place: Place, what: str, other: Place, value: object) -> RuleViolation:
    """The rule that a setting needs another one, which has not the value that it should."""
    return RuleViolation(ConfigError(place, what, set_command(other, value)), (other,))


def repeated(values: Iterable[Hashable]) -> Iterator[tuple[int, int]]:
    """The numbers of each value that was there before, and of the first that is the same."""
    seen: dict[Hashable, int] = {}
    for number, value in enumerate(values):
        first = seen.setdefault(value, number)
        if first != number:
            yield number, first


def path(place: Place) -> str:
    """A place as `pulumi config set` takes it: with `--path` where it has parts."""
    if len(place) == 1:
        return str(place[0])
    written = ""
    for part in place:
        if isinstance(part, int):
            written += f"[{part}]"
        elif re.fullmatch(r"[\w-]+", part):
            written += f".{part}" if written else part
        else:
            # Pulumi knows no other escape than that of a quote.
            escaped = part.replace('"', '\\"')
            written += f'["{escaped}"]'
    return written


def set_command(place: Place, value: object, *, secret: bool = False, from_file: bool = False) -> str:
    """The command that sets a value; a secret, or a text of many lines, is read from a file instead."""
    flags = ("--secret " if secret else "") + ("--path " if len(place) > 1 else "")
    from_file = from_file or secret
    written = "< file" if from_file else _quoted(str(value))
    if not from_file and str(value).startswith("-"):
        written = f"-- {written}"
    return f"pulumi config set {flags}{_quoted(path(place))} {written}"


def remove_command(place: Place) -> str:
    """The command that removes a value."""
    return f"pulumi config rm {'--path ' if len(place) > 1 else ''}{_quoted(path(place))}"


def _quoted(word: str) -> str:
    """A word for the shell, on one line."""
    return shlex.quote(word) if word.isprintable() else f"$'{_printable(word, besides=QUOTE_AND_BACKSLASH)}'"


def _printable(text: str, besides: str = "") -> str:
    """Text with escapes for what does not print."""
    return "".join(
        letter if letter.isprintable() and letter not in besides else f"\\U{ord(letter):08x}" for letter in text
    )


def masked(error: ConfigError, is_secret: Callable[[str], bool]) -> ConfigError:
    """An error as it may be shown: Pulumi tells which top-level keys have a secret in them, not where."""
    if not is_secret(str(error.place[0])):
        return error
    message, fix = error.message, error.fix
    for quote in error.echoed:
        message = message.replace(quote, SECRET)
        fix = remove_command(error.place) if quote in fix else fix
    return replace(error, message=message, fix=fix, value=None if error.value is None else SECRET)


def explain(problem: ErrorDetails, model: type[BaseModel]) -> ConfigError:
    """One of pydantic's complaints about a model, in a person's words; without values that are secret by their type."""
    place: Place = problem["loc"]
    if _is_of_a_key(problem, model):
        return _key_error(place[:-1], f"the key {_what_is_wrong(problem)}", model)
    if problem["type"] == "extra_forbidden":
        return _unknown_key(place, model)
    if problem["type"] == "missing":
        return ConfigError(place, "is required", _mend(place, model, empty=True))
    visible = _visible(problem["input"], _annotation_at(model, place))
    shown = SECRET if visible == SECRET else _shortened(json.dumps(visible, ensure_ascii=False))
    error = problem.get("ctx", {}).get("error")
    if isinstance(error, NearMissError):
        fix = set_command(place, error.instead)
    else:
        fix = _mend(place, model, empty=problem["type"] == "too_short")
    return ConfigError(place, _what_is_wrong(problem), fix, shown)


def _shortened(text: str) -> str:
    # A login in an address, and what follows a `?` in one, are the likes of secrets.
    text = re.sub(r"[^/\s\"]*:[^/\s\"]*@", f"{SECRET}@", text)
    text = re.sub(r"(://[^?\"]*\?)[^\"]*", rf"\1{SECRET}", text)
    return text if len(text) <= 100 else f"{text[:99]}…"


def _key_error(place: Place, message: str, model: type[BaseModel]) -> ConfigError:
    """An error in the key of a map's item; one that is no name may be a secret that was pasted with it."""
    if bare_type(_annotation_at(model, place)) is not SecretStr or re.fullmatch(r"[\w.-]*", str(place[-1])):
        return ConfigError(place, message, remove_command(place))
    return ConfigError(place[:-1], message, remove_command(place[:-1]), SECRET)


def _unknown_key(place: Place, model: type[BaseModel]) -> ConfigError:
    around = bare_type(_annotation_at(model, place[:-1]))
    known = sorted(aliased(around)) if is_model(around) else []
    near = difflib.get_close_matches(str(place[-1]), known, n=1)
    meant = f"did you mean `{near[0]}`? " if near else ""
    if is_model(around) and (hint := _elsewhere(around, str(place[-1]))):
        meant = f"{hint} " if hint.endswith("?") else f"{hint}. "
    if len(place) == 1 and re.search(r"[.\[]", str(place[0])):
        meant = "did you mean `--path`? "
    return ConfigError(place, f"there is no such key; {meant}Known here: {', '.join(known)}", remove_command(place))


def _elsewhere(around: type[BaseModel], key: str) -> str | None:
    """What a model says of a key that it does not have, however it is spelt: camelCase, snake_case or UPPER_CASE."""
    hints: Mapping[str, str] = getattr(around, "elsewhere", {})
    return hints.get(re.sub("[_-]", "", key).lower())


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


def _mend(place: Place, model: type[BaseModel], *, empty: bool = False) -> str:
    """The command that sets a good value, or removes the place; `empty`: nothing is there, or a list of nothing."""
    if bare_type(_annotation_at(model, place)) is SecretStr:
        return set_command(place, "", secret=True)
    around, name = bare_type(_annotation_at(model, place[:-1])), place[-1]
    if is_model(around) and isinstance(name, str) and name in aliased(around):
        field = aliased(around)[name]
        good = field.examples[0] if field.examples else field.get_default()
        if empty and field.is_required() and isinstance(good, list):
            return set_command((*place, 0), cast("list[str]", good)[0])
        if isinstance(good, str | int) and good != "" and not str(good).startswith("-----"):
            return set_command(place, str(good).lower() if isinstance(good, bool) else good)
    return remove_command(place)


def _is_of_a_key(problem: ErrorDetails, model: type[BaseModel]) -> bool:
    """Whether a key of a map is wrong, rather than a value: pydantic says so by `[key]` after it."""
    place: Place = problem["loc"]
    if len(place) < 2 or place[-1] != "[key]" or problem["type"] == "extra_forbidden":
        return False
    return item_type(bare_type(_annotation_at(model, place[:-2]))) is not None


def _annotation_at(model: type[BaseModel], place: Place) -> Any:
    """The type of a place as it is annotated; none where there is no such place."""
    annotation: Any = model
    for part in place:
        bare = bare_type(annotation)
        if is_model(bare):
            field = aliased(bare).get(str(part))
            annotation = field.rebuild_annotation() if field else None
        else:
            annotation = item_type(bare)
    return annotation


def _visible(value: Any, annotation: Any) -> Any:
    """A value as it may be shown: what is secret by its type, or may be since no type is known, is masked."""
    if not _is_hidden(annotation):
        return value
    bare = bare_type(annotation)
    if isinstance(value, dict) and is_model(bare):
        fields, keys = aliased(bare), cast("dict[str, Any]", value)
        return {
            key: _visible(item, fields[key].rebuild_annotation()) if key in fields else SECRET
            for key, item in keys.items()
        }
    inner = item_type(bare)
    if is_model(inner) and isinstance(value, list):
        return [_visible(item, inner) for item in cast("list[Any]", value)]
    if is_model(inner) and get_origin(bare) is list:
        # One, where there should be a list of them.
        return _visible(value, inner)
    return value if isinstance(value, str) and is_model(bare) and is_text(bare) else SECRET


def _is_hidden(annotation: Any) -> bool:
    """Whether a value of this type is a secret, may be one by mistake, or has one in it."""
    bare = bare_type(annotation)
    if bare is SecretStr or is_marked(annotation, Hidden):
        return True
    if is_model(bare):
        return any(_is_hidden(field.rebuild_annotation()) for field in aliased(bare).values())
    item = item_type(bare)
    return item is not None and _is_hidden(item)
