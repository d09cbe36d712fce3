"""Generates random combinations of directives, the same for the same seed."""

import random
from collections.abc import Iterator
from typing import Any

import yaml

from lab.paths import REPOSITORY
from settings.nginx_directives import FREE_BLOCKS, directives
from settings.nginx_tree import parse

_WORDS = """
    on off 0 1 10 404 1k 8m 5s 1h30m $uri $remote_addr $http_x_a $nothing /x /index.html =404 @named ~^/a ~*\\.php$
    abc text/plain 127.0.0.1:80 http://127.0.0.1:80 http://127.0.0.1:80/a https://$host 8080 zone=one zone=one:1m
    rate=1r/s keys_zone=one:1m /tmp/cache "" always last permanent error timeout none any all 1.1 localhost
    """.split()  # noqa: SIM905 - one text reads better than so many strings
_CONTEXTS = {"http": "h", "server": "s", "route": "l"}


def _corpus_lines() -> dict[str, list[str]]:
    """Reads the directives of the corpus, by their place."""
    found: dict[str, list[str]] = {place: [] for place in _CONTEXTS}
    for case in yaml.safe_load((REPOSITORY / "tests" / "snippets.yaml").read_text()):
        nginx = case["nginx"]
        texts = [("http", nginx.get("extraConfig", {}).get("http", ""))]
        texts += [("server", nginx.get("extraConfig", {}).get("server", ""))]
        texts += [("route", route.get("extraConfig", "")) for route in nginx.get("routes", [])]
        for place, text in texts:
            found[place] += [text[each.start : each.end] for each in parse(text)]
    return found


_LINES = _corpus_lines()
# Only directives of the lab's NGINX: others are refused, or belong to modules that the lab does not build.
_NAMES = {
    letter: sorted(
        name for name, known in directives().items() if known.forms_in(letter) and known.origin in {"oss", "otel"}
    )
    for letter in "hsluj"
}


def _made(chance: random.Random, place: str, depth: int = 0) -> str:
    """Writes a directive of the table with random words, and with a block if it has one."""
    letter = {**_CONTEXTS, "if": "j", "upstream": "u"}[place]
    name = chance.choice(_NAMES[letter])
    known = directives()[name]
    form = chance.choice(known.forms_in(letter))
    counts = [count for count in range(5) if form.takes(count)]
    words = [_word(chance, known.kind, known.words) for _ in range(chance.choice(counts))]
    if not form.block:
        return " ".join((name, *words)) + ";"
    if name in FREE_BLOCKS or depth > 1:
        return " ".join((name, *words)) + " { }"
    inner = {"location": "route", "upstream": "upstream", "server": "server"}.get(name, "if")
    if name == "if":
        words = ["($http_x_a)"]
    body = " ".join(_made(chance, inner, depth + 1) for _ in range(chance.randint(0, 3)))
    return f"{' '.join((name, *words))} {{ {body} }}"


def _word(chance: random.Random, kind: str, words: tuple[str, ...]) -> str:
    fitting = {"flag": ["on", "off"], "number": ["1", "10"], "size": ["1k", "8m"], "offset": ["10m", "1g"]} | {
        "time": ["5s", "1h30m", "10ms"],
        "seconds": ["5s", "1h30m"],
        "enum": list(words),
        "mask": list(words),
    }
    return chance.choice(fitting[kind] if fitting.get(kind) and chance.random() < 0.9 else _WORDS)


def _snippet(chance: random.Random, place: str) -> str:
    count = chance.choice((0, 1, 1, 2, 3))
    return "\n".join(
        chance.choice(_LINES[place]) if chance.random() < 0.5 else _made(chance, place) for _ in range(count)
    )


_ANSWERS: tuple[dict[str, Any], ...] = (
    {"root": "/usr/share/nginx/html"},
    {"return": {"status": 200, "body": "ok"}},
    {"return": {"status": 302, "location": "/x"}},
    {"upstream": "UPSTREAM"},
    {"upstream": {"host": "localhost", "port": 8443, "tls": True}},
)


def random_cases(seed: int) -> Iterator[dict[str, Any]]:
    """Yields cases without end, as in the corpus but without expectations."""
    chance = random.Random(seed)  # noqa: S311 - a seed must repeat its cases
    while True:
        yield {"nginx": random_nginx(chance)}


def random_nginx(chance: random.Random) -> dict[str, Any]:
    """Returns routes and snippets of NGINX, which may be refused. UPSTREAM stands for an application's address."""
    routes: list[dict[str, Any]] = [
        {"path": path, "match": chance.choice(("prefix", "exact")), **chance.choice(_ANSWERS)}
        for path in chance.sample(("/", "/a", "/a/", "/app/", "/x"), chance.randint(1, 3))
    ]
    for route in routes:
        route["extraConfig"] = _snippet(chance, "route")
        if chance.random() < 0.2:
            route["spanAttributes"] = {"a": "$uri"}
    nginx: dict[str, Any] = {
        "routes": routes,
        "extraConfig": {"http": _snippet(chance, "http"), "server": _snippet(chance, "server")},
        "accessLog": chance.random() < 0.8,
    }
    if chance.random() < 0.5:
        nginx["serverName"] = ["shop.example"]
    if chance.random() < 0.3:
        nginx["spanAttributes"] = {"b": "$request_id"}
    return nginx
