"""Writes settings/nginx_directives.txt, the table of NGINX's directives, from NGINX's source and F5's own tables.

Run `python -m lab.build.directives` after a new version of NGINX in `lab/stand_ins/nginx-otel-module/Cargo.lock` or of
F5's tables in `lab/build/modules/crossplane`. It needs both, as each lacks something: NGINX's source tells the types of
values and which directives may be repeated, F5's tables (nginx-go-crossplane, Apache-2.0) have the directives of NGINX
Plus, of njs, and of later versions.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lab.build.nginx import nginx_source
from lab.paths import MODULES, REPOSITORY

FILE = REPOSITORY / "settings" / "nginx_directives.txt"

_CONTEXTS = {
    "main": "M",
    "event": "E",
    "httpmain": "h",
    "httpsrv": "s",
    "httploc": "l",
    "httpups": "u",
    "httpsif": "i",
    "httplif": "j",
    "httplmt": "x",
    "any": "MEhsluijxO",
} | dict.fromkeys(("mgmtmain", "mailmain", "mailsrv", "streammain", "streamsrv", "streamups", "httpoidc"), "O")
"""A letter for each context: `O` for those of other protocols and of NGINX Plus' own blocks."""

_TYPES = {
    "ngx_conf_set_flag_slot": "flag",
    "ngx_conf_set_num_slot": "number",
    "ngx_conf_set_size_slot": "size",
    "ngx_conf_set_off_slot": "offset",
    "ngx_conf_set_msec_slot": "time",
    "ngx_conf_set_sec_slot": "seconds",
    "ngx_conf_set_bufs_slot": "buffers",
    "ngx_conf_set_enum_slot": "enum",
    "ngx_conf_set_bitmask_slot": "mask",
}
_REPEATED_SETTERS = {"ngx_conf_set_str_array_slot", "ngx_conf_set_keyval_slot", "ngx_conf_set_bitmask_slot"}
# NGINX calls a second one for the same zone a duplicate, but takes several of these.
_REPEATED = {"limit_req", "limit_conn", "access_log", "mirror"} | {
    f"proxy_{name}" for name in ("redirect", "cookie_domain", "cookie_path", "cookie_flags")
}
# Lists of NGINX Plus and njs: their source is not public, or not here.
_REPEATED_ELSEWHERE = re.compile(
    r"keyval|keyval_zone|match|status_zone|health_check|session_log_zone|oidc_provider|auth_jwt_claim_set|"
    r"auth_jwt_header_set|auth_jwt_require|auth_jwt_key_\w+|js_(import|set|var|preload_object|shared_dict_zone|path|"
    r"header_filter|body_filter)|perl_set|perl_require|geoip2|otel_(span|resource)_attr|header|\w+_bind_.*"
)


# Directives of modules that the official image is built without.
_NOT_BUILT = {"degradation", "degrade", "google_perftools_profiles"}


@dataclass
class _Directive:
    """One name, which may have different meanings in different contexts."""

    forms: list[str] = field(default_factory=list[str])
    """Contexts and arguments, such as `hsl:12` or, with a block, `h:1{`."""

    repeated: bool = False
    kind: str = "-"
    origin: str = "oss"


def main() -> None:
    """Writes the table."""
    table: dict[str, _Directive] = {}
    for name, forms, directive in _of_source(nginx_source() / "src"):
        known = table.setdefault(name, directive)
        known.forms += [form for form in forms if form not in known.forms]
    for origin, name, form in _of_tables(_tables()):
        directive = table.setdefault(
            name, _Directive(origin=origin, repeated=_REPEATED_ELSEWHERE.fullmatch(name) is not None)
        )
        if directive.origin == origin and form not in directive.forms:
            directive.forms.append(form)
    lines = [
        f"{name} {each.origin} {'many' if each.repeated else 'one'} {each.kind} {' '.join(each.forms)}"
        for name, each in sorted(table.items())
        if name not in _NOT_BUILT
    ]
    FILE.write_text("\n".join([*_HEAD, *lines]) + "\n")


_HEAD = (
    "# NGINX's directives, written by `python -m lab.build.directives` from the sources that it names: do not edit.",
    "# name, origin, how often in a block, kind of value, and for each meaning contexts:arguments",
    "# origins: oss (NGINX 1.28), later (NGINX after 1.28), plus (NGINX Plus alone), njs, geoip, image_filter, xslt,",
    "# perl, otel; contexts: M main, E events, h http, s server, l location, u upstream, i if in server, j if in",
    "# location, x limit_except, O others; arguments: digits, + one or more, ++ two or more, * any, ? an `if`'s",
    "# condition; { a block follows",
)


def _tables() -> Path:
    found = subprocess.run(
        ["go", "list", "-m", "-f", "{{.Dir}}", "github.com/nginxinc/nginx-go-crossplane"],
        check=True,
        capture_output=True,
        text=True,
        cwd=MODULES / "crossplane",
    )
    return Path(found.stdout.strip())


def _of_source(folder: Path) -> Iterator[tuple[str, list[str], _Directive]]:
    files = {file: file.read_text() for file in sorted(folder.rglob("*.c"))}
    everything = "\n".join(files.values())
    functions = _functions(everything)
    for file, text in files.items():
        for name, flags, setter, post in _COMMAND.findall(text):
            form = _form(re.findall(r"NGX_(\w+)", flags))
            if form is None:
                continue
            kind = _kind(setter, post, text, everything) or _variables(setter, functions)
            repeated = setter in _REPEATED_SETTERS or name in _REPEATED or not _refuses_a_second(setter, functions)
            yield name, [form], _Directive(repeated=repeated, kind=kind, origin=_origin(file))


# An entry of an `ngx_command_t` array: name, flags, setter, and behind two offsets what the setter needs besides.
_COMMAND = re.compile(
    r'\{ ngx_string\("(\w+)"\),\s*\n\s*([A-Z0-9_|\s]+),\s*\n\s*(\w+),\s*\n'
    r"[^\n]*\n[^\n]*\n\s*&?(\w+)(?:\[0\])? \}"
)


def _kind(setter: str, post: str, text: str, everything: str) -> str | None:
    """Returns the type of the values that one of NGINX's own setters takes, with its words or bounds."""
    kind = _TYPES.get(setter)
    if kind in {"enum", "mask"}:
        return f"{kind}={','.join(_words(text, post) or _words(everything, post))}"
    bounds = re.search(rf"{post} = \{{\s*ngx_conf_check_num_bounds, (\d+), (-?\d+)\s*\}}", text)
    return f"{kind}={bounds[1]},{bounds[2]}" if kind == "number" and bounds else kind


def _variables(setter: str, functions: dict[str, str]) -> str:
    """Tells whether a directive's own setter looks for variables in the values."""
    body = functions.get(setter, "")
    called = re.findall(r"\b(ngx_\w+_slot)\(cf", body)
    if re.search(r"compile_complex_value|ngx_http_script_compile|ngx_http_script_variables_count", body):
        return "variables"
    return next((kind for name in called if name != setter and (kind := _variables(name, functions)) != "-"), "-")


def _origin(file: Path) -> str:
    modules = {"geoip": "geoip", "image_filter": "image_filter", "xslt": "xslt", "perl": "perl"}
    return next((origin for part, origin in modules.items() if part in file.name), "oss")


def _refuses_a_second(setter: str, functions: dict[str, str]) -> bool:
    body = functions.get(setter, "is duplicate")
    called = re.findall(r"\b(ngx_\w+_slot)\(cf", body)
    return "is duplicate" in body or any(_refuses_a_second(name, functions) for name in called if name != setter)


def _functions(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)\(ngx_conf_t \*cf[^{;]*\)\n\{\n(.*?)^\}", text, re.M | re.S))


def _words(text: str, array: str) -> list[str]:
    found = re.search(rf"{array}\[\]\s*=\s*\{{(.*?)\n\}};", text, re.S)
    return re.findall(r'ngx_string\("([^"]+)"\)', found[1]) if found else []


def _of_tables(folder: Path) -> Iterator[tuple[str, str, str]]:
    for file, origin in (("oss_latest", "later"), ("njs", "njs"), ("otel", "otel"), ("nplus_latest", "plus")):
        text = (folder / f"analyze_{file}_directives.gen.go").read_text()
        for name, masks in re.findall(r'^    "(\w+)": \{\n(.*?)^    \},', text, re.M | re.S):
            for mask in masks.splitlines():
                form = _form(re.findall(r"ngx(\w+)", mask))
                if form is not None:
                    yield origin, name, form


def _form(flags: list[str]) -> str | None:
    """Returns contexts and arguments from the flags of either source: `NGX_HTTP_MAIN_CONF`, `ngxHTTPMainConf`."""
    plain = [flag.replace("_", "").lower() for flag in flags]
    contexts = "".join(dict.fromkeys("".join(_CONTEXTS.get(flag.removesuffix("conf"), "") for flag in plain)))
    if not contexts and "directconf" in plain:
        return None
    arguments = "".join(
        flag.removeprefix("conftake") if flag.startswith("conftake") else _ARGUMENTS.get(flag, "") for flag in plain
    )
    return f"{contexts or 'O'}:{arguments or '0'}{'{' if 'confblock' in plain else ''}"


_ARGUMENTS = {"confflag": "1", "confnoargs": "0", "conf1more": "+", "conf2more": "++", "confany": "*", "confexpr": "?"}


if __name__ == "__main__":
    main()
