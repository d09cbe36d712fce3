"""Tests that any text in the configuration is refused with a message, or read by NGINX as it was written.

The NGINX is the lab's with its stand-in module. The tests see from outside whether text is intact: in answers, in the
attributes of spans, in the headers of an export.
"""

import contextlib
import http.client
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from components.documents.nginx import exporter_conf, nginx_conf
from settings import NginxSettings
from settings.headers import HeaderValue
from settings.nginx_syntax import FAMILIES, VARIABLES, snippet
from settings.routes import Path as RoutePath
from settings.types import LiteralText, TemplateText
from tests.module.nginx import Nginx
from tests.otlp import Receiver, free_port

# Mostly characters with a meaning to NGINX, HTTP or YAML.
TEXT = st.text(
    st.one_of(
        st.sampled_from(list("\"'\\$;{}#~=^*@ \t\r\n\0%?&/.<>()[]|")),
        st.sampled_from(["$host", "${uri}", "\\n", "/../", "%2f", "é", "日", "\u2028", "\ud800", "�"]).flatmap(
            lambda text: st.sampled_from(list(text))
        ),
        st.characters(),
    ),
    min_size=1,
    max_size=40,
)


def taken(kind: Any, texts: list[str]) -> list[str]:
    """The texts that one type of setting takes; each other text must be refused with a message."""
    found: list[str] = []
    for text in dict.fromkeys(texts):
        try:
            TypeAdapter(kind).validate_python(text)
            found.append(text)
        except ValidationError as error:
            (problem,) = error.errors()
            assert re.match(r"Value error, must (not )?\w", problem["msg"]), problem["msg"]
    return found


@contextlib.contextmanager
def served(
    nginx: Nginx, receiver: Receiver, values: dict[str, Any], folder: Path, *, headers: dict[str, str]
) -> Generator[None]:
    """NGINX with the program's own nginx.conf, in its own folder and on its own port."""
    exporter = {"endpoint": f"127.0.0.1:{receiver.port}", "headers": headers, "interval": "10ms"}
    made = NginxSettings.model_validate(values | {"exporter": exporter})
    block = exporter_conf(made.exporter, endpoint=str(made.exporter.endpoint))
    text = nginx_conf(made, exporter=str(made.exporter.endpoint), namespace="tracing")
    for old, new in {
        "/tmp/": f"{folder}/",  # noqa: S108 - what the container has; first, since the folder may be beneath it
        "include /etc/nginx/exporter.conf;": block,
        "include /etc/nginx/mime.types;": "",
        "load_module modules/": f"load_module {nginx.build}/",
        "error_log /dev/stderr": f"error_log {folder}/error.log",
        "listen 8080;": f"listen 127.0.0.1:{nginx.port};",
        "listen 8081;": f"listen 127.0.0.1:{free_port()};",
        "access_log /dev/stdout traced buffer=4k flush=100ms;": "access_log off;",
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / "error.log").unlink(missing_ok=True)
    (folder / "nginx.conf").write_text(f"daemon off;\nuser root;\n{text}")
    nginx.workers = 2
    assert nginx.test() == "ok", text
    nginx.start()
    try:
        yield
    finally:
        nginx.stop()


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    paths=st.lists(TEXT.map(lambda text: f"/{text}"), min_size=1, max_size=8),
    bodies=st.lists(TEXT, min_size=8, max_size=8),
    names=st.lists(TEXT, min_size=1, max_size=4),
    header=TEXT,
)
def test_any_text_is_refused_or_read_as_it_was_written(
    nginx_build: Path, tmp_path_factory: pytest.TempPathFactory, **texts: Any
) -> None:
    paths, bodies, names, header = (texts[kind] for kind in ("paths", "bodies", "names", "header"))
    receiver = Receiver()
    folder = tmp_path_factory.mktemp("text")
    nginx = Nginx(nginx_build, folder, free_port())
    # Each `$` that is taken begins a variable.
    templates = [text for text in taken(TemplateText, bodies) if "$" not in text] or ["plain"]
    literals = taken(LiteralText, names)
    routes: list[dict[str, Any]] = [
        {"path": path, "match": "exact", "return": {"status": 200, "body": templates[number % len(templates)]}}
        for number, path in enumerate(taken(RoutePath, paths))
    ]
    values = {
        "routes": routes or [{"path": "/", "root": "/srv"}],
        "spanAttributes": {f"{name}": templates[0] for name in literals},
        "resourceAttributes": {f"resource {name}": name for name in literals},
        "serviceName": literals[0] if literals else "nginx",
    }
    headers = {"x-text": header} if taken(HeaderValue, [header]) else {}
    # The program includes this block only if there are headers.
    with served(nginx, receiver, values, folder, headers=headers | {"x-always": "there"}):
        for route in routes:
            connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=5)
            connection.request("GET", quote(route["path"], safe="/"))
            answer = connection.getresponse()
            assert (answer.status, answer.read().decode()) == (200, route["return"]["body"])
            connection.close()
        spans = receiver.many(len(routes)) if routes else []
    receiver.stop()
    assert sorted(span.attributes["http.route"] for span in spans) == sorted(route["path"] for route in routes)
    for span in spans:
        assert {name: span.attributes[name] for name in literals} == dict.fromkeys(literals, templates[0])
        assert {name: span.resource[f"resource {name}"] for name in literals} == {name: name for name in literals}
        assert span.resource["service.name"] == values["serviceName"]
    for metadata in receiver.metadata:
        assert {name: metadata[name] for name in headers} == headers


def test_a_redirect_to_a_path_names_no_port(nginx: Nginx, receiver: Receiver) -> None:
    (nginx.folder / "files" / "folder").mkdir(parents=True)
    routes: list[dict[str, Any]] = [
        {"path": "/", "root": "/tmp/files"},  # noqa: S108 - what `served` puts the folder in place of
        {"path": "/old", "return": {"status": 301, "location": "/new/?from=$uri"}},
    ]
    with served(nginx, receiver, {"routes": routes}, nginx.folder, headers={"x-always": "there"}):
        # Both would contain the pods' port, which clients never see.
        assert httpx.get(nginx.url("/folder")).headers["location"] == "/folder/"
        assert httpx.get(nginx.url("/old")).headers["location"] == "/new/?from=/old"


def test_nginx_knows_every_variable_that_is_taken(stopped_nginx: Nginx) -> None:
    names = [*VARIABLES, *(f"{family}x" for family in FAMILIES)]
    text = "".join(f"${{{name}}}" for name in names)
    stopped_nginx.write(f'otel_exporter {{ endpoint a:1; }} server {{ location / {{ return 200 "{text}"; }} }}')
    assert stopped_nginx.test() == "ok"


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    parts=st.lists(
        st.sampled_from(
            [*"{};#'\"\\$ \t\r\n\x0c\u00a0", "${", "set $a b;", "server {", "location /a {", "}", "return 200"]
        ),
        min_size=1,
        max_size=10,
    )
)
def test_directives_that_are_taken_end_in_their_block(nginx: Nginx, parts: list[str]) -> None:
    text = "".join(parts)
    try:
        snippet(text)
    except ValueError:
        return
    # NGINX reads what follows as it is written, and refuses it by name, unless it already refused the directives.
    nginx.write(f"otel_exporter {{ endpoint a:1; }} server {{ location / {{\n{text}\n}} }} the_end;")
    said = nginx.test()
    unknown = 'unknown directive "the_end"'
    assert said == unknown or "the_end" not in said.replace(unknown, ""), (text, said)
    assert not re.search('unexpected end of file|unexpected "}"|too long parameter', said), (text, said)
