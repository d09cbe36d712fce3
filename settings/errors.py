"""Errors of the configuration: where each is, what is wrong, what is allowed, and the command that fixes it."""

import json
import re
import shlex
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

from pydantic import BaseModel, SecretStr

from settings.schema import aliased, is_marked
from settings.types import Hidden

PROJECT = "nginx-tracing"
SECRET = "[secret]"  # noqa: S105 - shown in place of a secret

QUOTE_AND_BACKSLASH = "'\\"
"""Characters that have a meaning within `$'…'`."""

Place = tuple[str | int, ...]
"""The place of a value: keys, and indices of list items."""


@dataclass(frozen=True)
class ConfigError:
    """One error."""

    place: Place
    message: str
    """Says what is wrong and what is allowed."""

    fix: str
    """The command that fixes it; empty if only a person can tell what fixes it, which the message then says."""

    value: str | None = None
    """The value as it may be shown; None if there is none."""

    echoed: tuple[str, ...] = ()
    """Values of the configuration that the message or the fix repeats; `masked` hides them if they are secret."""

    def __str__(self) -> str:
        shown = "" if self.value is None else f" = {self.value}"
        command = f"\n    {self.fix}" if self.fix else ""
        return f"  {PROJECT}:{_printable(path(self.place))}{shown}\n    {self.message}{command}"


@dataclass(frozen=True)
class RuleViolation:
    """A configuration whose values are each valid and do not fit together."""

    error: ConfigError
    others: tuple[Place, ...] = ()
    """Places besides the error's own that the rule depends on. If one of them has an error, this is not reported."""

    shows_value: bool = False
    """Whether `shown_in` adds the value of the place."""

    @property
    def places(self) -> tuple[Place, ...]:
        """All places that the rule depends on."""
        return (self.error.place, *self.others)

    def shown_in(self, settings: BaseModel) -> ConfigError:
        """Returns the error with the value that its place has in the settings."""
        return replace(self.error, value=value_at(settings, self.error.place)) if self.shows_value else self.error


def violation(
    place: Place | str,
    message: str,
    *,
    set_to: object = None,
    fix: str | None = None,
    depends_on: Sequence[Place | str] = (),
    echoed: Sequence[str] = (),
    shows: str | None = None,
) -> RuleViolation:
    """Makes a rule's violation. The value that the error shows is read from the place.

    Args:
        place: where the error is: `"nginx.replicas"`, or a tuple if a part of it is an index or a user's own name.
        message: says what is wrong and what is allowed.
        set_to: the value that the offered command sets at the place. Unset: the command removes the place.
        fix: the command, if it does neither; empty for none.
        depends_on: places besides the error's own that the rule depends on.
        echoed: values of the configuration that the message or the fix repeats.
        shows: the value as the error shows it, if it is not that of the place.
    """
    at = place_of(place)
    command = fix
    if command is None:
        command = remove_command(at) if set_to is None else set_command(at, set_to)
    others = tuple(map(place_of, depends_on))
    return RuleViolation(ConfigError(at, message, command, shows, tuple(echoed)), others, shows_value=shows is None)


def needs(place: Place | str, message: str, other: Place | str, value: object) -> RuleViolation:
    """Makes the violation of a rule by which a setting needs another one; the command sets the other one."""
    return violation(place, message, fix=set_command(other, value), depends_on=[other])


def place_of(written: Place | str) -> Place:
    """Returns a place that is written as keys with dots between them."""
    return tuple(written.split(".")) if isinstance(written, str) else written


def value_at(settings: BaseModel, place: Place) -> str | None:
    """Returns the value of a place as an error may show it; None for groups and certificates, and if it has none."""
    value: Any = settings
    for part in place:
        if isinstance(value, BaseModel):
            fields = {alias: name for name, alias in _names(value)}
            if part not in fields or is_marked(aliased(type(value))[str(part)].rebuild_annotation(), Hidden):
                return None
            value = getattr(value, fields[part])
        else:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
    if isinstance(value, SecretStr):
        return SECRET
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return shown(items) if items and all(isinstance(item, str) for item in items) else None
    return shown(value) if isinstance(value, str | int) else str(value) if isinstance(value, Decimal) else None


def _names(model: BaseModel) -> Iterator[tuple[str, str]]:
    return ((name, str(field.alias)) for name, field in type(model).model_fields.items())


def shown(value: object) -> str:
    """Returns a value for people, on one line of at most 100 characters."""
    return shortened(json.dumps(value, ensure_ascii=False))


def shortened(text: str) -> str:
    """Returns the first 100 characters of a text."""
    return text if len(text) <= 100 else f"{text[:99]}…"


def repeated(values: Iterable[Hashable]) -> Iterator[tuple[int, int]]:
    """Yields the index of each value that was there before, with the index of the first such value."""
    seen: dict[Hashable, int] = {}
    for number, value in enumerate(values):
        first = seen.setdefault(value, number)
        if first != number:
            yield number, first


def path(place: Place) -> str:
    """Returns a place as `pulumi config set` takes it, with `--path` if it has parts."""
    if len(place) == 1:
        return str(place[0])
    written = ""
    for part in place:
        if isinstance(part, int):
            written += f"[{part}]"
        elif re.fullmatch(r"[\w-]+", part):
            written += f".{part}" if written else part
        else:
            # Pulumi supports one escape alone: a quote.
            escaped = part.replace('"', '\\"')
            written += f'["{escaped}"]'
    return written


def set_command(place: Place | str, value: object = "", *, secret: bool = False, from_file: bool = False) -> str:
    """Returns the command that sets a value. It reads a secret, or a text of many lines, from a file instead."""
    place = place_of(place)
    value = str(value).lower() if isinstance(value, bool) else value
    flags = ("--secret " if secret else "") + ("--path " if len(place) > 1 else "")
    from_file = from_file or secret
    written = "< file" if from_file else _quoted(str(value))
    if not from_file and str(value).startswith("-"):
        written = f"-- {written}"
    return f"pulumi config set {flags}{_quoted(path(place))} {written}"


def remove_command(place: Place | str) -> str:
    """Returns the command that removes a value."""
    place = place_of(place)
    return f"pulumi config rm {'--path ' if len(place) > 1 else ''}{_quoted(path(place))}"


def _quoted(word: str) -> str:
    """Returns a word for the shell, on one line."""
    return shlex.quote(word) if word.isprintable() else f"$'{_printable(word, besides=QUOTE_AND_BACKSLASH)}'"


def _printable(text: str, besides: str = "") -> str:
    """Returns a text with escapes for characters that do not print."""
    return "".join(
        letter if letter.isprintable() and letter not in besides else f"\\U{ord(letter):08x}" for letter in text
    )


def masked(error: ConfigError, is_secret: Callable[[str], bool]) -> ConfigError:
    """Returns an error without values that may be secret.

    Pulumi tells which top-level keys have a secret in them, not where.
    """
    if not is_secret(str(error.place[0])):
        return error
    message, fix = error.message, error.fix
    for quote in error.echoed:
        message = message.replace(quote, SECRET)
        # Removing the place instead would take a whole route or snippet away.
        fix = "" if quote in fix else fix
    return replace(error, message=message, fix=fix, value=None if error.value is None else SECRET)
