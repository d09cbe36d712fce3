"""Refuses files in snippets that a pod cannot write or its image does not have, and njs without a script."""

import re
from collections.abc import Iterator

from settings.errors import RuleViolation
from settings.nginx_tree import Directive
from settings.snippets.model import Finding, Snippet, Snippets, flat

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

_LOGS = frozenset({"access_log", "error_log"})
_LINKS = frozenset({"/var/log/nginx/access.log", "/var/log/nginx/error.log"})
"""The logs that the official images have as links to the container's output."""

_NEED_A_SCRIPT = frozenset(
    {"js_set", "js_content", "js_header_filter", "js_body_filter", "js_periodic", "js_preload_object"}
)


def files(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses files that the pod cannot write, and those that a known image does not have."""
    # Nothing is known of the files of other images.
    is_official = written.reader.modules is not None
    image = "the image of NGINX Plus" if written.reader.plus else written.settings.nginx.pulled_image
    for snippet in written.snippets:
        for directive in flat(snippet.directives):
            if directive.arguments:
                yield from map(snippet.violation, _written(snippet, directive, is_official=is_official))
                if is_official:
                    yield from map(snippet.violation, _read(directive, image))


def _written(snippet: Snippet, directive: Directive, *, is_official: bool) -> Iterator[Finding]:
    file = directive.arguments[0]
    is_variable = "$" in file and directive.name.endswith(("access_log", "_store"))
    if _WRITES.fullmatch(directive.name) and not is_variable and not _WRITABLE.fullmatch(file):
        if not _is_link(directive, file, is_official=is_official):
            message = f"must write below /tmp, the only folder that a pod can write to, not to `{file}`"
            yield Finding(directive, message, _moved(snippet, directive, file))
    elif re.fullmatch(r"\w+_(temp|cache)_path", directive.name) and re.match(r"/tmp/+[^/]+/+[^/]", file):  # noqa: S108
        message = "must write to a folder directly below /tmp: NGINX does not create the folders above it"
        yield Finding(directive, message, _moved(snippet, directive, file))


def _is_link(directive: Directive, file: str, *, is_official: bool) -> bool:
    """Tells whether a log may be a link to the container's output; other images may have more than two of them."""
    return directive.name in _LOGS and (file in _LINKS or (not is_official and file.startswith("/var/log/nginx/")))


def _read(directive: Directive, image: str) -> Iterator[Finding]:
    if not _READS.fullmatch(directive.name):
        return
    # `js_import name from file`, or the file alone.
    file = directive.arguments[-1 if directive.name == "js_import" else 0]
    if directive.name.endswith(_BY_REQUEST) and "$" in file:
        return
    # NGINX takes a pattern that no file fits.
    if directive.name == "include" and re.search(r"[*?\[]", file):
        return
    if not _IN_IMAGE.fullmatch(file):
        message = f"needs the file `{file}`, which {image} does not have: build an image with it"
        yield Finding(directive, message)


def _moved(snippet: Snippet, directive: Directive, file: str) -> str:
    text = snippet.text[directive.start : directive.end]
    if directive.name in _LOGS:
        return text.replace(file, "/dev/stdout" if directive.name == "access_log" else "/dev/stderr", 1)
    return text.replace(file, f"/tmp/{file.rstrip('/').rsplit('/', 1)[-1]}", 1)  # noqa: S108 - in the pod


def scripts(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses directives of njs that need a script if no snippet imports one."""
    if any(each.name == "js_import" for each in written.everything):
        return
    for snippet in written.snippets:
        for directive in flat(snippet.directives):
            if directive.name in _NEED_A_SCRIPT:
                yield snippet.violation(Finding(directive, "needs a script, which `js_import` has to name"))
