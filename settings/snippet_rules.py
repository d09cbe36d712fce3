"""What `extraConfig` must not have, because NGINX would refuse it or because it would be dead or take what is ours.

What NGINX refuses by itself is in `settings.snippet_checks`; here is what depends on the rest of the configuration.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from settings.capabilities import has_module, module_of, nginx_version
from settings.errors import ConfigError, Place, RuleViolation, path, remove_command, set_command
from settings.nginx import NginxSettings, Route
from settings.nginx_contexts import context_of
from settings.nginx_directives import ANSWERS, directives, listen_address
from settings.nginx_syntax import VARIABLES, unknown_variable
from settings.nginx_tree import Directive, parse
from settings.proxying_rules import OF_THE_MODULE
from settings.snippet_blocks import (
    PROXIES,
    Values,
    buffers,
    certificates,
    client_certificates,
    header_buffers,
    unverified,
    upstreams,
)
from settings.snippet_checks import Finding, Reader, check, flat, location_of, outside_of
from settings.stack import Settings

PORT = 8080
PORT_OF_PROBES = 8081
PORT_OF_API = 8082
"""Ports of ours in nginx.conf; a test compares them with the document."""


@dataclass(frozen=True)
class _Snippet:
    """One of the texts, where it stands and what it stands in."""

    place: Place
    text: str
    context: str
    directives: tuple[Directive, ...]
    route: Route | None = None

    def broken(self, finding: Finding) -> RuleViolation:
        directive = finding.directive
        start, end = directive.start, directive.end
        rest = self.text[:start] + finding.instead + self.text[end:]
        if not finding.instead:
            rest = _without_empty_line(self.text, start, end)
        fix = set_command(self.place, rest) if parse(rest) else remove_command(self.place)
        shown = _shortened(" ".join(self.text[start:end].split()))
        message = f"`{directive.name}` in line {directive.line} {finding.message}"
        # By the last one, the command is masked too, which has the rest of the snippet.
        echoed = (shown, *directive.arguments, *re.findall(r"`([^`]+)`", finding.message), path(self.place))
        return RuleViolation(
            ConfigError(self.place, message, fix, json.dumps(shown, ensure_ascii=False), echoed), _OTHERS
        )


_OTHERS: tuple[Place, ...] = (
    ("nginx", "extraConfig"),
    ("nginx", "routes"),
    ("nginx", "image"),
    ("edition",),
    ("plus",),
)


def _shortened(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:99]}…"


def _without_empty_line(text: str, start: int, end: int) -> str:
    before, after = text[:start], text[end:]
    if not before.rsplit("\n", 1)[-1].strip():
        before = before[: before.rfind("\n") + 1]
        after = re.sub(r"^[ \t]*\n?", "", after)
    return (before + after).strip("\n")


def _snippets(settings: Settings) -> list[_Snippet]:
    nginx = settings.nginx
    found = [
        _Snippet(("nginx", "extraConfig", name), text, context, parse(text))
        for name, text, context in (
            ("http", nginx.extra_config.http, "h"),
            ("server", nginx.extra_config.server, "s"),
        )
    ]
    found += [
        _Snippet(("nginx", "routes", number, "extraConfig"), route.extra_config, "l", parse(route.extra_config), route)
        for number, route in enumerate(nginx.routes)
    ]
    return [snippet for snippet in found if snippet.text]


def reader_of(settings: Settings) -> Reader:
    """What is known of the NGINX that reads the snippets."""
    if settings.edition == "plus":
        # An image that is built has the OpenTelemetry module and no other.
        modules = frozenset[str]() if settings.plus.image is None else None
        return Reader(True, _VERSIONS_OF_PLUS.get(settings.plus.release) if modules is not None else None, modules)
    image = settings.nginx.image
    if not has_module(image) and module_of(image) is None:
        return Reader(False, None, None)
    # nginxinc/docker-nginx: the image that `-otel` is made from has these as files.
    return Reader(False, nginx_version(image), frozenset({"njs", "geoip", "image_filter", "xslt"}))


_VERSIONS_OF_PLUS = {"R33": (1, 27, 2), "R34": (1, 27, 4), "R35": (1, 29, 0), "R36": (1, 29, 3)}


@dataclass(frozen=True)
class _Written:
    """All snippets of a configuration."""

    settings: Settings
    reader: Reader
    snippets: list[_Snippet]

    @property
    def everything(self) -> Iterator[Directive]:
        """All directives of all of them."""
        for snippet in self.snippets:
            yield from flat(snippet.directives)

    @property
    def has_unknown_files(self) -> bool:
        """Whether files of the image have a part in it, which may say anything."""
        return any(_is_unknown_file(directive) for directive in self.everything)


def _rules(settings: Settings) -> Iterator[RuleViolation]:
    written = _Written(settings, reader_of(settings), _snippets(settings))
    faults = [
        snippet.broken(finding)
        for snippet in written.snippets
        for finding in check(snippet.directives, snippet.context, written.reader)
    ]
    yield from faults
    # What a directive means to others can be said once each is one.
    for rule in () if faults else _RULES:
        yield from rule(written)


def _of_keys(written: _Written) -> Iterator[RuleViolation]:
    """What a key says, which NGINX takes once."""
    for snippet in written.snippets:
        for directive in snippet.directives:
            key = _KEYS.get(directive.name)
            if key and snippet.context == "h":
                message = f"is what the program writes: set `{key}` instead"
                yield snippet.broken(Finding(directive, message))
        for directive in flat(snippet.directives):
            name = directive.arguments[0] if directive.arguments else ""
            if directive.name == "otel_span_attr" and name in OF_THE_MODULE:
                message = f"sets `{name}`, which the module sets itself, on every span: {OF_THE_MODULE[name]}"
                yield snippet.broken(Finding(directive, message))
            if directive.name == "otel_resource_attr" and name == "service.name":
                yield snippet.broken(Finding(directive, "sets `service.name`: set `nginx.serviceName` instead"))
        for directive in snippet.directives:
            if snippet.route and not snippet.route.traced and directive.name in _OF_SPANS:
                yield snippet.broken(Finding(directive, "is for requests that are traced, and `traced` is false"))


_OF_SPANS = frozenset({"otel_trace", "otel_span_name", "otel_span_attr"})
_KEYS = {"otel_exporter": "nginx.exporter", "otel_service_name": "nginx.serviceName"}


def _variables(written: _Written) -> Iterator[RuleViolation]:
    snippets, everything = written.snippets, list(written.everything)
    for snippet in snippets:
        for directive in flat(snippet.directives):
            own = _MAKES.get(directive.name)
            if own is None or own >= len(directive.arguments):
                continue
            name = directive.arguments[own].lstrip("$").lower()
            if name in VARIABLES and name not in _CHANGEABLE:
                message = f"must make a variable of another name: `${name}` is NGINX's own"
                yield snippet.broken(Finding(directive, message))
    # What an image's own files or modules make cannot be known.
    if not written.reader.is_known or written.has_unknown_files:
        return
    made = [f"${{{name}}}" for name in _made(everything)]
    if written.settings.edition == "plus" and written.settings.plus.sampling_ratios:
        made.append("$sampling_ratio")
    for snippet in snippets:
        for directive in flat(snippet.directives):
            for text in _texts(directive):
                message = unknown_variable(text, made, plus=written.settings.edition == "plus")
                if message:
                    yield snippet.broken(Finding(directive, message))
                    break


_MAKES = {"set": 0, "map": 1, "geo": -1, "split_clients": 1, "auth_request_set": 0, "js_set": 0, "js_var": 0} | {
    "keyval": 1,
    "perl_set": 0,
    "auth_jwt_claim_set": 0,
    "auth_jwt_header_set": 0,
    "num_map": 1,
}
"""Which argument of a directive is the variable that it makes."""

_CHANGEABLE = frozenset({"args", "limit_rate"})
"""NGINX's own variables that `set` may set (NGX_HTTP_VAR_CHANGEABLE)."""

_KEYED = frozenset({"map", "geo", "geoip2", "split_clients", "num_map", "types", "charset_map", "match"})


def _is_unknown_file(directive: Directive) -> bool:
    return directive.name == "include" and not re.search(
        r"(mime\.types|_params|fastcgi\.conf)$", directive.arguments[0]
    )


def _made(everything: list[Directive]) -> Iterator[str]:
    for directive in everything:
        number = _MAKES.get(directive.name)
        if number is not None and directive.arguments and number < len(directive.arguments):
            yield directive.arguments[number].lstrip("$")
        if directive.name == "geoip2":
            yield from (each.name.lstrip("$") for each in directive.inside)
        for text in (*directive.arguments, *(each.name for each in directive.inside)):
            yield from re.findall(r"\(\?P?['<](\w+)['>]", text)


def _texts(directive: Directive) -> Iterator[str]:
    """The arguments in which NGINX looks for variables: a `$` in a pattern is its end."""
    if directive.name in {"otel_resource_attr", "otel_service_name", "location", "server_name", "types"}:
        return
    if directive.name in _KEYED:
        if directive.name == "map":
            yield directive.arguments[0]
            yield from (text for each in directive.inside for text in each.arguments)
        return
    skipped = {"rewrite", "valid_referers"}
    for number, argument in enumerate(directive.arguments):
        if directive.name in skipped and number == 0:
            continue
        if directive.name == "if" and number >= 2:
            # Behind `~` is a pattern; behind `=` a text without variables.
            return
        if not argument.startswith("~"):
            # Captures are named by digits.
            yield re.sub(r"\$(\d|$|(?=\W)(?!\{))", "", argument)


def _zones(written: _Written) -> Iterator[RuleViolation]:
    """Names that NGINX wants made elsewhere."""
    snippets, everything = written.snippets, list(written.everything)
    if written.has_unknown_files:
        return
    formats = {each.arguments[0] for each in everything if each.name == "log_format" and each.arguments}
    formats |= {"combined"} | ({"traced"} if _has_traced(written.settings.nginx) else set[str]())
    paths: set[str] = set()
    yield from _made_twice(written)
    for snippet in snippets:
        for directive in flat(snippet.directives):
            if directive.name.endswith("_cache_path") and directive.arguments[0] in paths:
                yield snippet.broken(Finding(directive, f"has the folder `{directive.arguments[0]}` of another one"))
            if directive.name.endswith("_cache_path"):
                paths.add(directive.arguments[0])
            used, maker, example = _zone_of(directive)
            if used is not None and used not in set(_zones_made(everything, maker)):
                message = f"needs the zone `{used}`, which {maker} is to make in `nginx.extraConfig.http`: {example}"
                yield snippet.broken(Finding(directive, message))
            if directive.name == "access_log" and len(directive.arguments) > 1:
                name = directive.arguments[1]
                if name not in formats:
                    message = f"needs the format `{name}`, which `log_format` is to make in `nginx.extraConfig.http`"
                    yield snippet.broken(Finding(directive, message))


def _made_twice(written: _Written) -> Iterator[RuleViolation]:
    """Zones of one name, and zones that are too small: eight pages at least, for a cache two."""
    seen = set[str]()
    for snippet in written.snippets:
        for directive in flat(snippet.directives):
            if directive.name not in _ZONE_MAKERS:
                continue
            for argument in directive.arguments:
                found = re.match(r"(?:keys_)?zone=([^:]+):(\d+)([kKmM]?)$", argument)
                if found and found[1] in seen:
                    yield snippet.broken(Finding(directive, f"has the zone `{found[1]}` of another one"))
                least = 8 if directive.name.endswith("_path") else 32
                if found and int(found[2]) * {"": 1, "k": 1024, "m": 1024 * 1024}[found[3].lower()] < least * 1024:
                    yield snippet.broken(Finding(directive, f"must have a zone of at least {least}k"))
                seen |= {found[1]} if found else set[str]()


_ZONE_MAKERS = frozenset({"limit_req_zone", "limit_conn_zone"} | {f"{each}_cache_path" for each in PROXIES})


_BUFFERED = {"buffer": "64k", "flush": "", "gzip": ""}
_OURS_BUFFERED = {"buffer": "4k", "flush": "100ms", "gzip": ""}
"""How the program's own log of /dev/stdout is written; a test compares it with the document."""


def _logs(written: _Written) -> Iterator[RuleViolation]:
    """A file has one buffer, whichever `access_log` says it."""
    # One of http takes the place of all of ours; one of the server leaves that of http.
    replaced = any(
        each.name == "access_log" for other in written.snippets if other.context == "h" for each in other.directives
    )
    is_ours_there = written.settings.nginx.access_log and not replaced
    seen = {"/dev/stdout": _OURS_BUFFERED} if is_ours_there else dict[str, dict[str, str]]()
    for snippet in written.snippets:
        for directive in (each for each in flat(snippet.directives) if each.name == "access_log" and each.arguments):
            file, *words = directive.arguments
            halves = [word.partition("=") for word in words]
            told = {name: value for name, _, value in halves if name in _BUFFERED}
            if not told:
                continue
            rest = [word for word in words if word.partition("=")[0] not in _BUFFERED]
            instead = f"access_log {' '.join([file, *rest])};"
            buffer = _BUFFERED | told
            if "$" in file:
                message = "must have no buffer: the file's name has a variable"
                yield snippet.broken(Finding(directive, message, instead))
            elif not {"buffer", "gzip"} & told.keys():
                yield snippet.broken(Finding(directive, "must have `buffer=…` beside `flush=…`", instead))
            elif seen.setdefault(file, buffer) != buffer:
                message = f"must have the buffer that `{file}` has elsewhere, or name none, and have that one"
                yield snippet.broken(Finding(directive, message, instead))


def _has_traced(nginx: NginxSettings) -> bool:
    """Whether the program writes the format of this name; by `extract` and `ignore` it has others."""
    places = (None, *nginx.routes)
    return nginx.access_log and any(
        context_of(nginx, route) in {"inject", "propagate"} or (route is not None and not route.traced)
        for route in places
    )


def _zone_of(directive: Directive) -> tuple[str | None, str, str]:
    """The zone that a directive uses, what makes it, and how."""
    name, arguments = directive.name, directive.arguments
    if not arguments:
        return None, "", ""
    if name == "limit_req":
        zone = next((each.removeprefix("zone=") for each in arguments if each.startswith("zone=")), None)
        return zone, "limit_req_zone", f"limit_req_zone $binary_remote_addr zone={zone}:10m rate=10r/s;"
    if name == "limit_conn":
        return arguments[0], "limit_conn_zone", f"limit_conn_zone $binary_remote_addr zone={arguments[0]}:10m;"
    if name in {"proxy_cache", "fastcgi_cache", "uwsgi_cache", "scgi_cache"}:
        if arguments[0] == "off" or "$" in arguments[0]:
            return None, "", ""
        return arguments[0], f"{name}_path", f"{name}_path /tmp/cache keys_zone={arguments[0]}:10m max_size=100m;"
    return None, "", ""


def _zones_made(everything: list[Directive], maker: str) -> Iterator[str]:
    for directive in everything:
        if directive.name == maker:
            for argument in directive.arguments:
                found = re.match(r"(?:keys_)?zone=([^:]+):", argument)
                if found:
                    yield found[1]


def _servers(written: _Written) -> Iterator[RuleViolation]:
    """Servers besides ours, which share its port."""
    is_plus = written.settings.edition == "plus"
    server_names = [each for each in written.everything if each.name == "server_name"]
    in_server = [each for each in server_names if any(each in snippet.directives for snippet in written.snippets)]
    names = {name.lower() for name in written.settings.nginx.server_name}
    names |= {name.lower() for each in in_server for name in each.arguments}
    for snippet in written.snippets:
        if snippet.context == "s":
            for directive in snippet.directives:
                if directive.name == "listen" and directive.arguments:
                    yield from map(snippet.broken, _port(directive, is_plus=is_plus))
        for server in snippet.directives if snippet.context == "h" else ():
            if server.name != "server" or server.body is None:
                continue
            listens = [each for each in server.inside if each.name == "listen" and each.arguments]
            for listen in listens:
                yield from map(snippet.broken, _port(listen, is_plus=is_plus))
            if not listens and not any(each.name == "include" for each in server.inside):
                message = f"must have `listen {PORT};`: without one, NGINX listens on a port that no Service has"
                inside = snippet.text[server.body[0] : server.body[1]]
                yield snippet.broken(Finding(server, message, f"server {{ listen {PORT};{inside}}}"))
            yield from map(snippet.broken, _names(server, listens, names))


def _listens(written: _Written) -> Iterator[RuleViolation]:
    """What NGINX has once for an address, whichever of its servers says it."""
    proxies = written.settings.nginx.trusted_proxies
    every = {"proxy_protocol"} if proxies and proxies.protocol == "proxyProtocol" else set[str]()
    of_ours = {f"*:{PORT}": every}
    found: list[tuple[_Snippet, Directive, bool]] = []
    for snippet in sorted(written.snippets, key=lambda snippet: snippet.context != "s"):
        blocks = [block for block in snippet.directives if snippet.context == "h" and block.name == "server"]
        inside = snippet.directives if snippet.context == "s" else [each for block in blocks for each in block.inside]
        found += [(snippet, each, not blocks) for each in inside if each.name == "listen" and each.arguments]
    for snippet, listen, is_ours in found:
        address, words = listen_address(listen.arguments[0]), set(listen.arguments[1:])
        if is_ours and address.endswith(f":{PORT}"):
            of_ours[address] = words
            for word in every - words:
                message = f"must have `{word}`, by which `nginx.trustedProxies.protocol` says that connections begin"
                yield snippet.broken(Finding(listen, message, f"listen {' '.join(listen.arguments)} {word};"))
        for word in sorted(({"proxy_protocol", "ssl"} & words) - of_ours.get(address, words)):
            message = f"has `{word}`, which NGINX takes for all servers of the address: those of the routes have it not"
            rest = " ".join(each for each in listen.arguments if each != word)
            yield snippet.broken(Finding(listen, message, f"listen {rest};"))
    for is_option, what in ((r"default(_server)?", "a default server"), (_OF_SOCKET, "options of the socket")):
        seen = set[str]()
        for snippet, listen, _ in found:
            address = listen_address(listen.arguments[0])
            options = [each for each in listen.arguments[1:] if re.fullmatch(is_option, each)]
            if options and address in seen:
                rest = " ".join(each for each in listen.arguments if each not in options)
                message = f"has {what}, `{options[0]}`, which another `listen` of the same address has: NGINX takes one"
                yield snippet.broken(Finding(listen, message, f"listen {rest};"))
            seen |= {address} if options else set[str]()


_OF_SOCKET = (
    r"bind|deferred|reuseport|multipath|(backlog|fastopen|setfib|rcvbuf|sndbuf|accept_filter|ipv6only|so_keepalive)=.*"
)


def _port(listen: Directive, *, is_plus: bool) -> Iterator[Finding]:
    address = listen_address(listen.arguments[0])
    if address.endswith(f":{PORT_OF_PROBES}"):
        yield Finding(listen, f"must not have the port {PORT_OF_PROBES}, where Kubernetes asks whether NGINX is well")
    if address.endswith(f":{PORT_OF_API}") and is_plus:
        yield Finding(listen, f"must not have the port {PORT_OF_API}, which NGINX Plus' API has")


def _names(server: Directive, listens: list[Directive], ours: set[str]) -> Iterator[Finding]:
    on_ours = [each for each in listens if listen_address(each.arguments[0]).endswith(f":{PORT}")]
    if not on_ours:
        return
    theirs = {name.lower() for each in server.inside if each.name == "server_name" for name in each.arguments}
    both = sorted(theirs & ours)
    if both:
        yield Finding(server, f"has the name `{both[0]}`, which is one of `nginx.serverName`: NGINX would ignore ours")
    is_default = any("default_server" in each.arguments for each in on_ours)
    if is_default and not ours:
        message = "is the default server and would get all requests: set `nginx.serverName` to the names of the routes"
        yield Finding(server, message)
    if not is_default and not (theirs - {""}) and not any(each.name == "include" for each in server.inside):
        yield Finding(server, "must have a `server_name`: without one, it would get no request")


def _locations(written: _Written) -> Iterator[RuleViolation]:
    """Locations beside and inside of ours."""
    routes = {
        (route.match == "exact", route.path): number for number, route in enumerate(written.settings.nginx.routes)
    }
    for snippet in written.snippets:
        for directive in snippet.directives:
            if directive.name != "location" or not directive.arguments:
                continue
            modifier, inner = location_of(directive)
            number = routes.get((modifier == "=", inner))
            if snippet.context == "s" and modifier not in {"~", "~*"} and number is not None:
                there = path(("nginx", "routes", number))
                message = f"has the path of {there}, and NGINX takes one: its directives go into `extraConfig` there"
                yield snippet.broken(Finding(directive, message))
            if snippet.route:
                outer = "=" if snippet.route.match == "exact" else ""
                message = outside_of(outer, snippet.route.path, modifier, inner)
                if message:
                    yield snippet.broken(Finding(directive, message))


def _named(written: _Written) -> Iterator[RuleViolation]:
    """Named locations that nothing makes: what is sent there is answered with 500."""
    if written.has_unknown_files:
        return
    made = {location_of(each)[1] for each in written.everything if each.name == "location" and each.arguments}
    for snippet in written.snippets:
        for directive in flat(snippet.directives):
            target = directive.arguments[-1] if directive.name in {"try_files", "error_page"} else ""
            if re.fullmatch(r"@[\w.-]+", target) and target not in made:
                message = f"needs the location `{target}`, which is to be in `nginx.extraConfig.server`"
                yield snippet.broken(Finding(directive, message))


def _exact(written: _Written) -> Iterator[RuleViolation]:
    """An exact route with a folder answers with its index."""
    for snippet in written.snippets:
        route = snippet.route
        if route and route.match == "exact" and route.root and route.path.endswith("/"):
            for directive in snippet.directives:
                if directive.name == "index":
                    file = directive.arguments[0] if directive.arguments else "index.html"
                    message = (
                        "leads away from a route with `match: exact`, by the path of the file: name it in `try_files`"
                    )
                    yield snippet.broken(Finding(directive, message, f"try_files {route.path}{file} =404;"))


_WRITES = re.compile(
    r"\w+_temp_path|(proxy|fastcgi|uwsgi|scgi)_cache_path|access_log|error_log|(proxy|fastcgi|uwsgi|scgi)_store"
)
_WRITABLE = re.compile(r"/tmp(/.*)?|/dev/(stdout|stderr|null|shm/.*)|syslog:.*|memory:.*|off|on|stderr", re.S)  # noqa: S108 - in the pod
_READS = re.compile(
    r"(\w+_)?ssl_(certificate|certificate_key|trusted_certificate|client_certificate|crl|dhparam|password_file|"
    r"session_ticket_key)|ssl_stapling_file|xslt_stylesheet|xml_entities|geoip_(country|city|org)|js_import|"
    r"js_preload_object|include|quic_host_key|perl_require|uwsgi_ssl_.*|auth_basic_user_file|auth_jwt_key_file"
)
_IN_IMAGE = re.compile(
    r"(/etc/nginx/)?(mime\.types|(fastcgi|scgi|uwsgi)_params|conf\.d/.*|[^/]*\.pem)|/etc/nginx/modules/.*|"
    r"/usr/(share|lib|local)/.*|/etc/ssl/.*|/proc/.*|/var/run/secrets/.*|data:.*|engine:.*|store:.*",
    re.S,
)
"""Files that the official images have, that the program writes, or that cannot be known before NGINX runs."""


_BY_REQUEST = ("ssl_certificate", "ssl_certificate_key", "auth_basic_user_file")
"""Ends of the names of directives whose files may have variables in their names."""

_LINKS = frozenset({"/var/log/nginx/access.log", "/var/log/nginx/error.log"})


def _files(written: _Written) -> Iterator[RuleViolation]:
    # Of other images, nothing is known.
    is_official = written.reader.modules is not None
    image = "the image of NGINX Plus" if written.reader.plus else written.settings.nginx.image
    for snippet in written.snippets:
        for directive in flat(snippet.directives):
            if not directive.arguments:
                continue
            file = directive.arguments[0]
            is_variable = "$" in file and directive.name.endswith(("access_log", "_store"))
            if _WRITES.fullmatch(directive.name) and not is_variable and not _WRITABLE.fullmatch(file):
                # The official images have these two as links to the container's output; others may have more.
                if directive.name in {"access_log", "error_log"} and (
                    file in _LINKS or (is_official is not True and file.startswith("/var/log/nginx/"))
                ):
                    continue
                message = f"must write below /tmp, the one folder that a pod can write to, not to `{file}`"
                yield snippet.broken(Finding(directive, message, _moved(snippet, directive, file)))
            elif re.fullmatch(r"\w+_(temp|cache)_path", directive.name) and re.match(r"/tmp/+[^/]+/+[^/]", file):  # noqa: S108
                message = "must write to a folder right below /tmp: NGINX makes no folder above the one that it is told"
                yield snippet.broken(Finding(directive, message, _moved(snippet, directive, file)))
            if is_official and _READS.fullmatch(directive.name):
                file = _file_read(directive)
                if directive.name.endswith(_BY_REQUEST) and "$" in file:
                    continue
                # A pattern that no file fits is no fault to NGINX.
                if directive.name == "include" and re.search(r"[*?\[]", file):
                    continue
                if not _IN_IMAGE.fullmatch(file):
                    message = f"needs the file `{file}`, which {image} does not have: build an image with it"
                    yield snippet.broken(Finding(directive, message))


def _file_read(directive: Directive) -> str:
    if directive.name == "js_import":
        # `js_import name from file`, or the file alone.
        return directive.arguments[-1]
    return directive.arguments[0]


def _moved(snippet: _Snippet, directive: Directive, file: str) -> str:
    text = snippet.text[directive.start : directive.end]
    if directive.name in {"access_log", "error_log"}:
        return text.replace(file, "/dev/stdout" if directive.name == "access_log" else "/dev/stderr", 1)
    return text.replace(file, f"/tmp/{file.rstrip('/').rsplit('/', 1)[-1]}", 1)  # noqa: S108 - in the pod


def _scripts(written: _Written) -> Iterator[RuleViolation]:
    """Directives of njs, which all need a script."""
    snippets = written.snippets
    if any(each.name == "js_import" for each in written.everything):
        return
    for snippet in snippets:
        for directive in flat(snippet.directives):
            known = directives().get(directive.name)
            if (
                known
                and known.origin == "njs"
                and directive.name
                in {"js_set", "js_content", "js_header_filter"}
                | {
                    "js_body_filter",
                    "js_periodic",
                    "js_preload_object",
                }
            ):
                yield snippet.broken(Finding(directive, "needs a script, which `js_import` is to name"))


def _blocks(written: _Written) -> Iterator[RuleViolation]:
    """What NGINX refuses of directives together, with what is inherited."""
    snippets = {snippet.place: snippet for snippet in written.snippets}
    http = snippets.get(_HTTP)
    server = snippets.get(_SERVER)
    of_http = http.directives if http else ()
    of_server = server.directives if server else ()
    inherited: Values = {}
    for snippet in snippets.values():
        yield from map(snippet.broken, buffers(snippet.directives, inherited if snippet is not http else None))
        yield from map(snippet.broken, header_buffers(snippet.directives, inherited))
        yield from map(snippet.broken, client_certificates(snippet.directives, inherited))
        if not (snippet.route and snippet.route.upstream and snippet.route.upstream.tls):
            yield from map(snippet.broken, unverified(snippet.directives, inherited))
        if snippet.route is None:
            inherited = {**inherited, **{each.name: each for each in snippet.directives if each.body is None}}
    if http:
        yield from map(http.broken, certificates(of_http, of_server))
        version = None if written.reader.plus else written.reader.version
        yield from map(http.broken, upstreams(of_http, version))
        for block in of_http:
            if block.name == "server":
                yield from map(http.broken, certificates(block.inside, of_http))
                around = {each.name: each for each in of_http}
                yield from map(http.broken, header_buffers(block.inside, around))
    if server:
        yield from map(server.broken, certificates(of_server, of_http))


_HTTP: Place = ("nginx", "extraConfig", "http")
_SERVER: Place = ("nginx", "extraConfig", "server")


def _upstreams(written: _Written) -> Iterator[RuleViolation]:
    """Addresses without a port, which only the name of an `upstream` may be."""
    snippets, everything = written.snippets, list(written.everything)
    names = {each.arguments[0].lower() for each in everything if each.name == "upstream" and each.arguments}
    for snippet in snippets:
        for directive in snippet.directives:
            if directive.name == "upstream" and directive.arguments[0].lower().startswith(_OURS):
                message = (
                    f"must have a name that does not begin with `{_OURS}`, as those of `nginx.routes[].upstream` do"
                )
                yield snippet.broken(Finding(directive, message))
    if written.has_unknown_files:
        return
    for snippet in snippets:
        for directive in flat(snippet.directives):
            url = (
                re.match(r"https?://([^/:$]+):\d+", directive.arguments[0]) if directive.name == "proxy_pass" else None
            )
            if url and url[1].lower() in names:
                message = f"must not have a port: `{url[1]}` is an `upstream`, whose servers have theirs"
                instead = directive.arguments[0].replace(url[0], url[0].rpartition(":")[0], 1)
                yield snippet.broken(Finding(directive, message, f"proxy_pass {instead};"))
            if directive.name not in _NEED_PORTS or not directive.arguments:
                continue
            address = re.sub(r"^(grpcs?|s?uwsgi)://", "", directive.arguments[0])
            is_ours = address.startswith(_OURS)
            is_variable = "$" in address and directive.name != "memcached_pass"
            if is_variable or is_ours or address.startswith("unix:") or address.lower() in names:
                continue
            if not re.fullmatch(r"[^/]+:\d{1,5}", address):
                message = f"must have host:port or the name of an `upstream`, not `{directive.arguments[0]}`"
                yield snippet.broken(Finding(directive, message))


_OURS = "to_"
_NEED_PORTS = frozenset({"grpc_pass", "fastcgi_pass", "scgi_pass", "uwsgi_pass", "memcached_pass"})


def snippet_warnings(settings: Settings) -> Iterator[str]:
    """What may be wrong with directives, and cannot be known."""
    reader, snippets = reader_of(settings), _snippets(settings)
    yield from _untraced(snippets)
    yield from _unresolved(snippets)
    yield from _unanswered(snippets)
    for snippet in snippets:
        for directive in flat(snippet.directives):
            if directive.name == "listen" and _is_out_of_reach(directive):
                yield (
                    f"{path(snippet.place)}: `listen` in line {directive.line} has a port that NGINX's Service does "
                    f"not have, nor the network policies: clients reach {PORT} alone"
                )
            if not reader.is_known and directive.name not in directives():
                yield (
                    f"{path(snippet.place)}: `{directive.name}` in line {directive.line} is not known to this program; "
                    "if the image's NGINX does not know it either, its pods do not start"
                )


def _untraced(snippets: list[_Snippet]) -> Iterator[str]:
    """A changed path is an internal redirect to the module, which looks at none (`onRequestStart`)."""
    for snippet in snippets:
        for each in snippet.directives if snippet.context == "s" else ():
            for rewrite in (each, *(each.inside if each.name == "if" else ())):
                is_sent = re.match(r"https?://|\$scheme", " ".join(rewrite.arguments[1:2]))
                if rewrite.name == "rewrite" and not is_sent and rewrite.arguments[-1] not in {"redirect", "permanent"}:
                    yield (
                        f"{path(snippet.place)}: `rewrite` in line {rewrite.line}: requests whose path it changes make "
                        "no span, as it comes before their route; in `extraConfig` of a route, it leaves them theirs"
                    )


def _unresolved(snippets: list[_Snippet]) -> Iterator[str]:
    everything = [each for snippet in snippets for each in flat(snippet.directives)]
    if {"resolver", "upstream", "include"} & {each.name for each in everything}:
        return
    for snippet in snippets:
        for each in flat(snippet.directives):
            url = re.sub(r"\$(request_uri|uri)\b.*", "", each.arguments[0]) if each.name == "proxy_pass" else ""
            if re.match(r"(https?|\$scheme)://[^/]*\$|\$(?!scheme)", url):
                yield (
                    f"{path(snippet.place)}: `proxy_pass` in line {each.line} has a variable, and no `resolver` is "
                    "there: NGINX answers 502 where that is a name and not an address"
                )


def _unanswered(snippets: list[_Snippet]) -> Iterator[str]:
    """Locations in a route inherit neither `proxy_pass` nor `return`."""
    for snippet in snippets:
        if not snippet.route or snippet.route.root:
            continue
        inherited = {each.name for each in snippet.directives} & {"root", "alias"}
        for each in flat(snippet.directives):
            names = {inner.name for inner in flat(each.inside)}
            if each.name == "location" and not inherited and not names & (ANSWERS | _ANSWER_TOO):
                yield (
                    f"{path(snippet.place)}: `location` in line {each.line} has no answer of its own, such as "
                    "`proxy_pass`, and inherits none from its route: NGINX answers 404"
                )


_ANSWER_TOO = {"root", "alias", "try_files", "rewrite", "include", "deny", "dav_methods", "autoindex"}


def _is_out_of_reach(listen: Directive) -> bool:
    address = listen_address(listen.arguments[0])
    return not re.match(r"127\.|\[::1\]|localhost|unix:", address) and not address.endswith(f":{PORT}")


_RULES: tuple[Callable[[_Written], Iterator[RuleViolation]], ...] = (
    _of_keys,
    _variables,
    _zones,
    _logs,
    _servers,
    _listens,
    _locations,
    _named,
    _exact,
    _files,
    _scripts,
    _blocks,
    _upstreams,
)

SNIPPET_RULES: tuple[Callable[[Settings], Iterator[RuleViolation]], ...] = (_rules,)
