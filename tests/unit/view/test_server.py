"""Tests who gets an answer from the page, and what the answers allow the browser."""

import http.client
import socket
from http import HTTPStatus

import httpx
import pytest

from tests.unit.view.conftest import FakeTempo, View

PATHS = ("/", "/zipkin/", "/zipkin/api/v2/services", "/rates", "/zipkin/api/v2/no-such-route", "/no-such-page")


def raw(view: View, *lines: str) -> str:
    """Sends a request line by line, and returns the status line of the answer."""
    host, port = view.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall("".join(f"{line}\r\n" for line in [*lines, "Connection: close", ""]).encode())
        return connection.makefile().readline().strip()


def test_the_names_of_this_machine_are_answered(view: View) -> None:
    port = view.url.rpartition(":")[2]
    assert view.get("/zipkin/").status_code == HTTPStatus.OK
    assert view.get("/zipkin/", headers={"Host": f"localhost:{port}"}).status_code == HTTPStatus.OK


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host", ["traces.example", "traces.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "[::1]:{port}"]
)
def test_another_name_of_this_machine_gets_nothing(view: View, tempo: FakeTempo, path: str, host: str) -> None:
    # A page elsewhere can let its own name lead to 127.0.0.1, and then read what it is answered.
    answer = view.get(path, headers={"Host": host.format(port=view.url.rpartition(":")[2])})
    assert answer.status_code == HTTPStatus.MISDIRECTED_REQUEST
    assert tempo.asked == []


def test_a_request_with_two_names_or_none_gets_nothing(view: View) -> None:
    name = view.url.removeprefix("http://")
    assert raw(view, "GET /zipkin/ HTTP/1.1", f"Host: {name}", "Host: traces.example").startswith("HTTP/1.1 421 ")
    assert raw(view, "GET /zipkin/ HTTP/1.1").startswith("HTTP/1.1 421 ")
    assert raw(view, "GET /zipkin/ HTTP/1.1", f"Host: {name}").startswith("HTTP/1.1 200 ")


def test_what_is_no_address_is_refused(view: View, capfd: pytest.CaptureFixture[str]) -> None:
    name = view.url.removeprefix("http://")
    assert raw(view, "GET http://[/ HTTP/1.1", f"Host: {name}").startswith("HTTP/1.1 400 ")
    assert capfd.readouterr().err == "", "the terminal has the page's address alone"


@pytest.mark.parametrize(
    ("site", "mode", "status"),
    [
        ("same-origin", "cors", HTTPStatus.OK),
        ("none", "navigate", HTTPStatus.OK),
        ("cross-site", "navigate", HTTPStatus.OK),
        ("cross-site", "no-cors", HTTPStatus.FORBIDDEN),
        ("same-site", "cors", HTTPStatus.FORBIDDEN),
    ],
)
def test_another_page_may_only_link_to_this_one(view: View, site: str, mode: str, status: HTTPStatus) -> None:
    answer = view.get("/zipkin/config.json", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode})
    assert answer.status_code == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_but_reading_is_answered(view: View, tempo: FakeTempo, method: str) -> None:
    answer = httpx.request(method, f"{view.url}/zipkin/api/v2/services", trust_env=False)
    assert answer.status_code == HTTPStatus.NOT_IMPLEMENTED
    assert tempo.asked == []


def test_the_page_listens_on_127_0_0_1_alone(view: View) -> None:
    port = int(view.url.rpartition(":")[2])
    # Another address of this machine: a server on all addresses would answer there too.
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=2).close()


@pytest.mark.parametrize("path", PATHS)
def test_no_answer_lets_the_browser_load_anything_from_elsewhere(view: View, path: str) -> None:
    headers = view.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert {word for words in policy.values() for word in words.split()} <= {
        "'none'",
        "'self'",
        "'unsafe-inline'",
        "data:",
    }
    assert policy["frame-ancestors"] == "'none'"
    assert "access-control-allow-origin" not in headers
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


def test_a_head_has_the_headers_of_its_get_alone(view: View) -> None:
    connection = http.client.HTTPConnection(view.url.removeprefix("http://"))
    connection.request("HEAD", "/zipkin/")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (HTTPStatus.OK, b"")
    assert int(answer.headers["content-length"]) == len(view.get("/zipkin/").content)


@pytest.mark.parametrize(
    "path",
    ["/own/../command.py", "/own/%2e%2e/command.py", "/own/", "/own//etc/passwd", "/own/.", "/own/rates.html/x"],
)
def test_no_other_file_of_this_machine_is_served(view: View, path: str) -> None:
    assert raw(view, f"GET {path} HTTP/1.1", f"Host: {view.url.removeprefix('http://')}").startswith("HTTP/1.1 404 ")


def test_the_password_goes_to_tempo_and_nowhere_else(view: View, tempo: FakeTempo) -> None:
    tempo.answers["/api/v2/search/tag/resource.service.name/values"] = 401, "hidden"
    answers = [view.get(path, follow_redirects=False) for path in PATHS]
    assert all("authorization" in headers for _, _, headers in tempo.asked)
    assert tempo.asked
    told = [answer.text + str(answer.headers) + answer.reason_phrase for answer in answers]
    assert not any("hidden-word" in each or "aGlkZGVu" in each for each in told)
