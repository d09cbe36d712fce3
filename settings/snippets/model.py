"""Holds the snippets of a configuration, their directives, and what is found in them."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from settings.errors import ConfigError, Place, RuleViolation, path, remove_command, set_command
from settings.nginx import Route
from settings.nginx_directives import FREE_BLOCKS
from settings.nginx_tree import Directive, parse
from settings.snippets.reader import Reader, reader_of
from settings.stack import Settings

HTTP: Place = ("nginx", "extraConfig", "http")
SERVER: Place = ("nginx", "extraConfig", "server")

_OTHERS: tuple[Place, ...] = (
    ("nginx", "extraConfig"),
    ("nginx", "routes"),
    ("nginx", "image"),
    ("edition",),
    ("plus",),
)
"""Places that take part in every rule on snippets."""

_SHOWN_CHARACTERS = 100
"""Our choice: a directive that is longer is cut in messages, which name its line besides."""


@dataclass(frozen=True)
class Finding:
    """One error in a directive."""

    directive: Directive
    message: str
    """The rest of a sentence that begins with the directive's name."""

    instead: str = ""
    """The text that replaces the whole directive; empty if the directive has to go."""


@dataclass(frozen=True)
class Snippet:
    """One of the texts, with its place in the configuration and its context in nginx.conf."""

    place: Place
    text: str
    context: str
    """The context's letter, as in the table of directives."""

    directives: tuple[Directive, ...]
    route: Route | None = None

    def violation(self, finding: Finding) -> RuleViolation:
        """Returns a finding with its place and with the command that fixes it and keeps the rest of the snippet."""
        directive = finding.directive
        start, end = directive.start, directive.end
        rest = self.text[:start] + finding.instead + self.text[end:]
        if not finding.instead:
            rest = _without_empty_line(self.text, start, end)
        fix = set_command(self.place, rest) if parse(rest) else remove_command(self.place)
        shown = _shortened(" ".join(self.text[start:end].split()))
        message = f"`{directive.name}` in line {directive.line} {finding.message}"
        # The place is echoed as well: the command contains the rest of the snippet and has to be masked with it.
        echoed = (shown, *directive.arguments, *re.findall(r"`([^`]+)`", finding.message), path(self.place))
        return RuleViolation(
            ConfigError(self.place, message, fix, json.dumps(shown, ensure_ascii=False), echoed), _OTHERS
        )


@dataclass(frozen=True)
class Snippets:
    """All snippets of a configuration."""

    settings: Settings
    reader: Reader
    snippets: list[Snippet]

    @property
    def everything(self) -> Iterator[Directive]:
        """Returns the directives of all snippets, those in blocks included."""
        for snippet in self.snippets:
            yield from flat(snippet.directives)

    @property
    def has_unknown_files(self) -> bool:
        """Tells whether a snippet includes a file of the image that may contain any directive."""
        return any(_is_unknown_file(directive) for directive in self.everything)


def snippets_of(settings: Settings) -> Snippets:
    """Returns the snippets of a configuration that are not empty."""
    nginx = settings.nginx
    found = [
        Snippet(place, text, context, parse(text))
        for place, text, context in (
            (HTTP, nginx.extra_config.http, "h"),
            (SERVER, nginx.extra_config.server, "s"),
        )
    ]
    found += [
        Snippet(("nginx", "routes", number, "extraConfig"), route.extra_config, "l", parse(route.extra_config), route)
        for number, route in enumerate(nginx.routes)
    ]
    return Snippets(settings, reader_of(settings), [snippet for snippet in found if snippet.text])


def flat(inside: Iterable[Directive]) -> Iterator[Directive]:
    """Returns all directives, those in blocks included, but not the lines of tables such as `map`."""
    for directive in inside:
        yield directive
        if directive.name not in FREE_BLOCKS:
            yield from flat(directive.inside)


def _is_unknown_file(directive: Directive) -> bool:
    return directive.name == "include" and not re.search(
        r"(mime\.types|_params|fastcgi\.conf)$", directive.arguments[0]
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"


def _without_empty_line(text: str, start: int, end: int) -> str:
    before, after = text[:start], text[end:]
    if not before.rsplit("\n", 1)[-1].strip():
        before = before[: before.rfind("\n") + 1]
        after = re.sub(r"^[ \t]*\n?", "", after)
    return (before + after).strip("\n")
