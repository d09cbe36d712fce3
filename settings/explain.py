"""Explains pydantic's errors about the configuration in a person's words, with the command that fixes each."""

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any, cast, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic_core import ErrorDetails

from settings.errors import SECRET, ConfigError, Place, remove_command, set_command, shortened
from settings.schema import aliased, bare_type, is_marked, is_model, is_text, item_type
from settings.types import Hidden, NearMissError


def explain(problem: ErrorDetails, model: type[BaseModel]) -> ConfigError:
    """Turns one of pydantic's errors about a model into one of ours. It shows no value whose type is secret."""
    place: Place = problem["loc"]
    if _is_of_a_key(problem, model):
        return _key_error(place[:-1], f"the key {_message(problem)}", model)
    if problem["type"] == "extra_forbidden":
        return _unknown_key(place, model)
    if problem["type"] == "missing":
        return ConfigError(place, "is required", _fix(place, model, empty=True))
    visible = _visible(problem["input"], _annotation_at(model, place))
    value = SECRET if visible == SECRET else _without_logins(json.dumps(visible, ensure_ascii=False))
    error = problem.get("ctx", {}).get("error")
    if near := _nearest(problem, _annotation_at(model, place)):
        fix = set_command(place, near)
    elif isinstance(error, NearMissError):
        fix = set_command(place, error.instead) if error.instead else ""
    else:
        fix = _fix(place, model, empty=problem["type"] == "too_short")
    return ConfigError(place, _message(problem), fix, value)


def _nearest(problem: ErrorDetails, annotation: Any) -> str | None:
    """Returns the allowed word that is most like the one that is written, such as `s3` for `S3`."""
    if problem["type"] != "literal_error" or not isinstance(problem["input"], str):
        return None
    allowed = [word for word in get_args(bare_type(annotation)) if isinstance(word, str)]
    by_lower_case = {word.lower(): word for word in allowed}
    near = difflib.get_close_matches(problem["input"].lower(), by_lower_case, n=1)
    return by_lower_case[near[0]] if near else None


def _without_logins(text: str) -> str:
    """Returns a text without logins and queries of addresses, which may be secret, shortened."""
    text = re.sub(r"[^/\s\"]*:[^/\s\"]*@", f"{SECRET}@", text)
    text = re.sub(r"(://[^?\"]*\?)[^\"]*", rf"\1{SECRET}", text)
    return shortened(text)


def _key_error(place: Place, message: str, model: type[BaseModel]) -> ConfigError:
    """Returns an error about the key of a map's item.

    A key of a secret that is no name may hold the secret itself, pasted with its name. It is not shown, and the offered
    command removes the whole map. `:authority` and the like are names.
    """
    if bare_type(_annotation_at(model, place)) is not SecretStr or re.fullmatch(r":?[\w.-]*", str(place[-1])):
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
    """Returns a model's hint for an unknown key, which may be written in camelCase, snake_case or UPPER_CASE."""
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
"""Messages for pydantic's errors, by their type."""


def _message(problem: ErrorDetails) -> str:
    context = problem.get("ctx", {})
    if problem["type"] == "value_error":
        return str(context["error"])
    words = _WORDS.get(problem["type"])
    return words.format(**context) if words else problem["msg"].replace("Input should be", "must be")


def _fix(place: Place, model: type[BaseModel], *, empty: bool = False) -> str:
    """Returns the command that sets a good value, or removes the place.

    Args:
        place: where the error is.
        model: the whole configuration.
        empty: whether the place has no value, or an empty list.
    """
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
    """Tells whether the error is about a key of a map, which pydantic marks by `[key]`, and not about a value."""
    place: Place = problem["loc"]
    if len(place) < 2 or place[-1] != "[key]" or problem["type"] == "extra_forbidden":
        return False
    return item_type(bare_type(_annotation_at(model, place[:-2]))) is not None


def _annotation_at(model: type[BaseModel], place: Place) -> Any:
    """Returns the annotated type of a place; None if there is no such place."""
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
    """Returns a value as it may be shown. Values whose type is secret or unknown are masked."""
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
        # The person wrote one object instead of a list of them.
        return _visible(value, inner)
    return value if isinstance(value, str) and is_model(bare) and is_text(bare) else SECRET


def _is_hidden(annotation: Any) -> bool:
    """Tells whether a value of this type is a secret, may be one by mistake, or contains one."""
    bare = bare_type(annotation)
    if bare is SecretStr or is_marked(annotation, Hidden):
        return True
    if is_model(bare):
        return any(_is_hidden(field.rebuild_annotation()) for field in aliased(bare).values())
    item = item_type(bare)
    return item is not None and _is_hidden(item)
