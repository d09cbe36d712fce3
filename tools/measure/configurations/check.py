"""Checks random configurations: the deployed programs must read the documents of every accepted one.

Configurations are golden cases with changed values of every type and random snippets of NGINX. The same seed makes the
same ones.
"""

import copy
import itertools
import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import yaml

from lab.paths import REPOSITORY
from settings import Settings
from settings.completed import completed
from settings.reference import keys
from settings.rules import violations_of
from tools.measure.configurations.documents import Document, documents
from tools.measure.configurations.snippets import random_nginx
from tools.measure.results import Number, Result

_VALUES: dict[str, list[Any]] = {
    "true or false": [True, False],
    "duration": ["100ms", "1s", "5s", "1m", "24h", "720h"],
    "bytes": ["16Mi", "64Mi", "512Mi", "2Gi", "20Gi"],
    "cores": ["50m", "0.5", "2"],
    "integer": [1, 2, 10, 50, 100, 512, 2048, 100000],
    "number from 0 to 1": ["0", "0.001", "0.25", "1"],
    "text": ["shop", 'every "thing"; {so} it $is', "schön # wirklich", "back\\slash", "a 'b'"],
}
"""Few values of each type, so that many configurations share a document, which is read once."""


def random_configurations(seed: int) -> Iterator[dict[str, Any]]:
    """Yields configurations without end. Many have errors."""
    chance = random.Random(seed)  # noqa: S311 - a seed must repeat its configurations
    cases = [
        yaml.safe_load(file.read_text()) for file in sorted((REPOSITORY / "tests" / "golden").glob("*/config.yaml"))
    ]
    while True:
        made: dict[str, Any] = copy.deepcopy(chance.choice(cases))
        for group in ("nginx", "collector", "tempo"):
            if chance.random() < 0.4:
                made[group] = copy.deepcopy(chance.choice(cases).get(group, {}))
        for _ in range(chance.randint(0, 4)):
            _change(chance, made)
        if chance.random() < 0.6:
            snippets = random_nginx(chance)
            text = yaml.safe_dump(snippets).replace("UPSTREAM", "127.0.0.1:19999")
            made["nginx"] = made.get("nginx", {}) | yaml.safe_load(text)
        yield made


def _change(chance: random.Random, made: dict[str, Any]) -> None:
    """Sets a random key that is not in a list or map to a value of its type, or removes one."""
    path, values = chance.choice(_changeable())
    around = made
    *groups, name = path
    for group in groups:
        inner = around.setdefault(group, {})
        if not isinstance(inner, dict):
            return
        around = cast("dict[str, Any]", inner)
    if name in around and chance.random() < 0.3:
        del around[name]
    else:
        around[name] = chance.choice(values)


@cache
def _changeable() -> list[tuple[list[str], list[Any]]]:
    found: list[tuple[list[str], list[Any]]] = []
    for key in keys():
        words = re.findall(r"`([^`]+)`", key.kind)
        values = words if words and key.kind.startswith("`") else _VALUES.get(key.kind)
        if values and "[]" not in key.path and "<name>" not in key.path:
            found.append((key.path.split("."), values))
    return found


def accepted(configuration: dict[str, Any]) -> Settings | None:
    """Returns the settings of a configuration, or None if it is refused."""
    try:
        settings = Settings.model_validate(configuration)
    except ValueError:
        return None
    is_refused = any(True for _ in violations_of(settings, lambda _: True, lambda _: False))
    return None if is_refused else completed(settings)


@dataclass(frozen=True)
class Outcome:
    """Counts what became of many configurations."""

    tried: int
    accepted: int
    read: dict[str, int]
    """The number of different documents, by the program that read them."""

    refusals: list[str]
    """The error and the main file of each document that its program refused."""


def check(count: int, seed: int) -> Outcome:
    """Has the documents of random configurations read.

    Args:
        count: how many configurations are tried.
        seed: selects the configurations.
    """
    different: dict[Document, None] = {}
    taken = 0
    for configuration in itertools.islice(random_configurations(seed), count):
        settings = accepted(configuration)
        if settings:
            taken += 1
            different |= dict.fromkeys(documents(settings))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        errors = list(pool.map(Document.error, different))
    refusals = [
        f"{document.program}: {error.strip()}\n{document.files[0][1]}"
        for document, error in zip(different, errors, strict=True)
        if error
    ]
    return Outcome(count, taken, dict(Counter(document.program for document in different)), refusals)


def result(count: int, seed: int = 17) -> Result:
    """Returns the result of many configurations. Its details hold the first refusal."""
    outcome = check(count, seed)
    details: dict[str, Number] = {"accepted": outcome.accepted, "refused": len(outcome.refusals), **outcome.read}
    read = ", ".join(f"{number} of {program}" for program, number in outcome.read.items())
    return Result(
        f"{count} random configurations",
        "accepted ones are read without a refusal",
        f"{outcome.accepted} accepted, {len(outcome.refusals)} documents refused (different ones: {read})",
        met=not outcome.refusals,
        details=details | ({"first refusal": outcome.refusals[0]} if outcome.refusals else {}),
    )
