"""The base of all models, and the marks that a type may carry."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A group of settings. Its keys are in camelCase, and unknown keys are refused."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    elsewhere: ClassVar[Mapping[str, str]] = {}
    """Hints for keys that people expect here: the key to set instead, or why there is no such key.

    The keys are written in lower case without `_`.
    """

    written_as_text: ClassVar[bool] = False
    """Whether people may write one text in its place. Errors show that text although the model has secrets in it."""


class TypeName:
    """Gives a type its name in the configuration reference."""

    def __init__(self, name: str) -> None:
        self.name = name


class Hidden:
    """Marks a type whose values are never shown, because somebody may have put a secret there by mistake."""


class NearMissError(ValueError):
    """Refuses a value and proposes the value that the person most likely means. The offered command sets it.

    Args:
        message: what is wrong and what is allowed.
        instead: the proposed value, without anything that may be secret; empty if any value could do damage.
    """

    def __init__(self, message: str, instead: str) -> None:
        super().__init__(message)
        self.instead = instead


def matching(pattern: str, expected: str) -> AfterValidator:
    """Checks that the whole text matches a pattern; the error says that the text must be `expected`."""
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f"must be {expected}")
        return text

    return AfterValidator(check)


def as_text(value: Any) -> Any:
    """Turns a boolean or a whole number into text.

    `pulumi config set --path` stores `true` and `7` as a boolean and a number, even where the key takes text.
    """
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value
