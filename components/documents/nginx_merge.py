"""Merges what a person writes in `extraConfig` into the nginx.conf that the template makes.

Below, "theirs" is the person's, "ours" is the program's. Ours is read from the template's own output, so this module
knows nothing about it. In each block, theirs replaces ours if NGINX takes one such directive, and joins ours if NGINX
takes several; `settings.nginx_directives.slot` tells which.

Merging refuses nothing: `settings.snippets` has already refused what cannot be merged.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from components.documents.nginx_edits import Part, indented
from settings.nginx import NginxSettings
from settings.nginx_directives import directives, displaces, is_inherited_list, listen_address, slot
from settings.nginx_tree import Directive, comments
from settings.snippets.reader import MODULE_FILES

HTTP_MARK = "#: extraConfig.http"
SERVER_MARK = "#: extraConfig.server"
ROUTE_MARK = "#: extraConfig of route "
"""Comments in the template, each on a line of its own where a snippet goes; the last one ends in the route's number."""

_CHOSEN_OF_SERVER = frozenset({"listen", "server_name", "otel_span_attr"})
_CHOSEN = (
    _CHOSEN_OF_SERVER
    | {"root", "alias", "return", "proxy_pass", "try_files"}
    | {
        "otel_trace",
        "otel_trace_context",
        "otel_span_name",
        "proxy_ssl_certificate",
        "proxy_ssl_certificate_key",
    }
)
"""Directives that a key sets for its own block: a snippet for a block around it does not replace them."""

_FIRST = frozenset({"map_hash_max_size", "map_hash_bucket_size"})
"""Directives that NGINX takes only before the first `map`."""

_SHIELDS = {
    "otel_trace": "otel_trace off;",
    "auth_basic": "auth_basic off;",
    "auth_request": "auth_request off;",
    "auth_jwt": "auth_jwt off;",
    "allow": "allow all;",
    "deny": "allow all;",
    "limit_req": "limit_req_dry_run on;",
    "limit_conn": "limit_conn_dry_run on;",
    "mirror": "mirror off;",
}
"""By directive of `extraConfig.http`, which holds for all servers: what exempts the probes' server from it."""


@dataclass(frozen=True)
class _Said:
    """A directive with its text, and whether it is ours."""

    directive: Directive
    text: str
    ours: bool


def merged(document: str, settings: NginxSettings) -> str:
    """Returns nginx.conf with the snippets in the places of their marks, and without what they replace.

    Args:
        document: the template's output, with a mark for every snippet.
        settings: valid settings, whose snippets have passed the rules.
    """
    return _Merge(document, settings).run()


class _Merge:
    def __init__(self, document: str, settings: NginxSettings) -> None:
        self._document = Part(document)
        self._marks = {
            comment.text: comment.start for comment in comments(document) if comment.text.startswith("#: extraConfig")
        }
        self._http_part = Part(settings.extra_config.http)
        self._server_part = Part(settings.extra_config.server)
        self._said_again = set[str]()
        """Attributes of all spans, which a location with attributes of its own repeats."""

        self._route_parts = [Part(route.extra_config) for route in settings.all_routes]

    def run(self) -> str:
        http, server = (self._block_of(mark) for mark in (HTTP_MARK, SERVER_MARK))
        self._modules()
        self._http(http, server)
        around = [_Said(each, self._document.source(each), ours=True) for each in http.inside]
        around = [said for said in around if not _stands_for(self._http_part.directives, said.directive)]
        in_force = self._block(
            SERVER_MARK, self._server_part, outer=[self._http_part], around=around, chosen=_CHOSEN_OF_SERVER
        )
        self._said_again = {self._document.source(each) for each in server.inside if each.name == "otel_span_attr"}
        for number, part in enumerate(self._route_parts):
            outer = [self._server_part, self._http_part]
            self._block(f"{ROUTE_MARK}{number}", part, outer=outer, around=in_force, chosen=_CHOSEN)
        return self._document.edited()

    def _block_of(self, mark: str) -> Directive:
        return _around(self._marks[mark], self._document.directives)[-1]

    def _modules(self) -> None:
        """Loads the modules that the snippets' directives belong to."""
        names = {
            directive.name
            for part in (self._http_part, self._server_part, *self._route_parts)
            for top in part.directives
            for directive in (top, *top.all_inside())
        }
        origins = {directives()[name].origin for name in names if name in directives()}
        lines = [f"load_module modules/{file}.so;\n" for origin, file in MODULE_FILES.items() if origin in origins]
        last = max(each.end for each in self._document.directives if each.name == "load_module")
        self._document.replace(last + 1, last + 1, "".join(lines))

    def _http(self, http: Directive, server: Directive) -> None:
        theirs = self._http_part.directives
        for ours in http.inside:
            if _stands_for(theirs, ours):
                self._document.remove(ours)
        shields = dict.fromkeys(_SHIELDS[each.name] for each in theirs if each.name in _SHIELDS)
        for block in http.inside:
            if block.name == "server" and block is not server and block.body:
                for shield in shields:
                    self._document.insert_line(block.body[0], shield)
        for each in theirs:
            if each.name in _FIRST and http.body:
                self._document.insert_line(http.body[0], self._http_part.source(each))
                self._http_part.replace(each.start, each.end, "")
        self._default_server(server)
        self._put(HTTP_MARK, [], self._http_part, apart=True)

    def _default_server(self, server: Directive) -> None:
        """Makes our server the default one, unless a snippet has one: NGINX takes the first server otherwise."""
        theirs = [block for block in self._http_part.directives if block.name == "server"]
        if not theirs and not any(each.name == "include" for each in self._http_part.directives):
            return
        listens = [each for block in theirs for each in block.inside if each.name == "listen" and each.arguments]
        claimed = {listen_address(each.arguments[0]) for each in listens if "default_server" in each.arguments}
        own = [(self._server_part, each) for each in self._server_part.directives if each.name == "listen"]
        of_ours = [each for each in server.inside if each.name == "listen"]
        own += [(self._document, each) for each in of_ours if not _stands_for(self._server_part.directives, each)]
        for part, each in own:
            is_free = each.arguments and listen_address(each.arguments[0]) not in claimed
            if is_free and "default_server" not in each.arguments:
                part.replace(each.end - 1, each.end - 1, " default_server")

    def _block(
        self, mark: str, part: Part, *, outer: list[Part], around: list[_Said], chosen: frozenset[str]
    ) -> list[_Said]:
        """Merges a snippet into its block, and returns the lists that hold in it.

        Args:
            mark: the mark where the snippet goes.
            part: the snippet.
            outer: the snippets of the blocks around it, the nearest first.
            around: the lists that hold in our blocks around it.
            chosen: the names of our directives that those of outer blocks do not replace.
        """
        kept: list[Directive] = []
        for ours in self._block_of(mark).inside:
            is_chosen = ours.name in chosen and self._document.source(ours) not in self._said_again
            of_outer = (each for other in outer for each in other.directives)
            if _stands_for(part.directives, ours) or (not is_chosen and _stands_for(of_outer, ours)):
                self._document.remove(ours)
            else:
                kept.append(ours)
        own = [_Said(each, part.source(each), ours=False) for each in part.directives]
        own += [_Said(each, self._document.source(each), ours=True) for each in kept]
        outside = [_Said(each, other.source(each), ours=False) for other in outer for each in other.directives] + around
        joined = _joined(own, outside)
        in_force = [said for said in (*own, *joined) if is_inherited_list(said.directive.name)]
        names = {said.directive.name for said in in_force}
        in_force += [
            said for said in outside if is_inherited_list(said.directive.name) and said.directive.name not in names
        ]
        _into_inner_locations(part, part.directives, in_force)
        self._put(mark, [said.text for said in joined], part, apart=mark == SERVER_MARK)
        return in_force

    def _put(self, mark: str, lines: list[str], part: Part, *, apart: bool) -> None:
        """Writes a snippet in the place of its mark."""
        at = self._marks[mark]
        start = self._document.text.rfind("\n", 0, at) + 1
        end = self._document.text.index("\n", at) + 1
        indent = self._document.text[start:at]
        text = "".join(f"{indent}{line}\n" for line in lines) + indented(part.edited(), indent)
        self._document.replace(start, end, f"\n{text}" if text and apart else text)


def _around(at: int, inside: Iterable[Directive]) -> list[Directive]:
    """Returns the blocks that a place is in, the outermost first."""
    for block in inside:
        if block.body and block.body[0] <= at < block.body[1]:
            return [block, *_around(at, block.inside)]
    return []


def _stands_for(theirs: Iterable[Directive], ours: Directive) -> bool:
    return any(displaces(each, ours) for each in theirs)


def _joined(own: list[_Said], outside: list[_Said]) -> list[_Said]:
    """Returns the directives of the blocks around a block that it has to repeat.

    NGINX drops an inherited list in a block that has one directive of that list. Directives are repeated only for lists
    with one of ours: how their own lists go together is for their author to decide.
    """
    names = {said.directive.name for said in own if is_inherited_list(said.directive.name)}
    of_ours = {said.directive.name for said in (*own, *outside) if said.ours}
    taken = {slot(said.directive) for said in own}
    joined: dict[tuple[str, ...], _Said] = {}
    for said in outside:
        if said.directive.name in names & of_ours and slot(said.directive) not in taken:
            joined.setdefault(slot(said.directive), said)
    return list(joined.values())


def _into_inner_locations(part: Part, inside: Iterable[Directive], in_force: list[_Said]) -> None:
    """Repeats inherited directives in the `location` blocks of a snippet."""
    for block in inside:
        if block.name != "location" or block.body is None:
            continue
        own = [_Said(each, part.source(each), ours=False) for each in block.inside]
        joined = _joined(own, in_force)
        for said in joined:
            part.insert_line(block.body[0], said.text)
        _into_inner_locations(part, block.inside, [*joined, *own, *in_force])
