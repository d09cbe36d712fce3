"""Runs the rules on snippets: what NGINX would refuse, what would be dead, and what would take the program's place."""

from collections.abc import Callable, Iterator

from settings.errors import RuleViolation
from settings.snippets import blocks, files, keys, locations, logs, servers, upstreams, variables, zones
from settings.snippets.directives import check
from settings.snippets.model import Snippets, snippets_of
from settings.stack import Settings

_RULES: tuple[Callable[[Snippets], Iterator[RuleViolation]], ...] = (
    keys.configured_by_keys,
    variables.own_names,
    variables.unknown,
    zones.made_twice,
    zones.missing,
    logs.unknown_formats,
    logs.buffers,
    servers.servers,
    servers.listens,
    locations.beside_routes,
    locations.missing_names,
    locations.index_of_exact_routes,
    files.files,
    files.scripts,
    blocks.inherited,
    blocks.of_servers,
    upstreams.blocks,
    upstreams.names,
)


def _rules(settings: Settings) -> Iterator[RuleViolation]:
    written = snippets_of(settings)
    violations = [
        snippet.violation(finding)
        for snippet in written.snippets
        for finding in check(snippet.directives, snippet.context, written.reader)
    ]
    yield from violations
    # The rules rely on directives that are valid by themselves.
    for rule in () if violations else _RULES:
        yield from rule(written)


SNIPPET_RULES: tuple[Callable[[Settings], Iterator[RuleViolation]], ...] = (_rules,)
