"""Looks at traces in a real browser: the page of `python -m tools view` in front of the lab's real Tempo."""

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabError
from lab.paths import REPOSITORY
from lab.progress import Progress
from tests.browser import PACKAGES, Page, browser, program
from tests.processes import Shared
from tests.readers.loopback import ask
from tests.readers.spans import CLIENT, INTERNAL, Sent, new_id
from tests.readers.tempo import RunningTempo, running_tempo
from tests.waiting import wait_for

PICTURES = REPOSITORY / "docs" / "how-to" / "pictures"
LARGEST_PICTURE = 200_000
"""Bytes: our choice. The pictures are in git."""

MINUTES = 14
"""The traffic is that old, and the page's default is a quarter of an hour."""

pytestmark = pytest.mark.usefixtures("programs")


def request(start: float, route: str, seconds: float, *, fails: bool = False) -> list[Sent]:
    """Returns the spans of a request: NGINX, its call, a shop, and the shop's own work. Only a failed one is a POST."""
    trace_id, at = new_id(), int(start * 1e9)
    method, status = ("POST", 502) if fails else ("GET", 200)
    nginx = Sent(
        "nginx",
        f"{method} {route}",
        trace_id,
        at,
        seconds,
        attributes={
            "http.method": method,
            "http.route": route,
            "http.status_code": status,
            "http.target": f"{route}?n=1",
        },
        resource={"host.name": "nginx-7d4b9c"},
        error=fails,
    )
    call = Sent(
        "nginx",
        method,
        trace_id,
        at + 2_000_000,
        seconds - 0.004,
        kind=CLIENT,
        parent=nginx,
        attributes={"server.address": "shop", "http.response.status_code": status},
    )
    shop = Sent(
        "shop",
        f"{method} {route}",
        trace_id,
        at + 3_000_000,
        seconds - 0.006,
        parent=call,
        attributes={"http.route": route},
        error=fails,
        message="no connection to the stock" if fails else "",
        event="exception" if fails else "",
    )
    work = Sent("shop", "look up the stock", trace_id, at + 5_000_000, seconds - 0.010, kind=INTERNAL, parent=shop)
    return [nginx, call, shop, work]


def large(spans: int) -> list[Sent]:
    """Returns a trace with so many spans, five below each."""
    trace_id, at = new_id(), time.time_ns()
    made: list[Sent] = []
    for number in range(spans):
        parent = made[(number - 1) // 5] if number else None
        start, seconds = at + number * 1000, 1 - number * 2e-6
        made.append(
            Sent(
                f"service-{number % 7}",
                f"step {number}",
                trace_id,
                start,
                seconds,
                kind=INTERNAL,
                parent=parent,
                attributes={"step": number},
            )
        )
    return made


def send(tempo: RunningTempo, spans: list[Sent]) -> None:
    """Sends spans in one message, and waits until a search finds the last one."""
    tempo.send(spans)
    query, start = f'{{ span:id = "{spans[-1].id}" }}', spans[-1].start // 10**9
    url = f"{tempo.url}/api/search"
    wait_for("the spans", lambda: ask(url, q=query, start=start - 60, end=start + 60).get("traces"))


@pytest.fixture(scope="module")
def tempo(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningTempo]:
    """Returns a Tempo with a quarter of an hour of traffic: three requests each ten seconds, one of them slow."""
    with running_tempo(tmp_path_factory.mktemp("tempo")) as running:
        now = time.time()
        traffic = [
            request(now - age, route, seconds)
            for age in range(10, MINUTES * 60, 10)
            for route, seconds in (("/", 0.012), ("/cart", 0.040), ("/cart", 0.300 if age % 70 == 0 else 0.060))
        ]
        traffic += [request(now - age, "/pay", 0.180, fails=True) for age in (20, 200)]
        send(running, [span for spans in traffic for span in spans])
        yield running


@contextlib.contextmanager
def viewed(tempo: RunningTempo, folder: Path) -> Generator[str]:
    """Runs the command in front of a Tempo, and yields the page's address."""
    outputs = folder / "outputs.json"
    outputs.write_text(json.dumps({"nginxUrl": "http://127.0.0.1:1", "tempoUrl": tempo.url, "namespace": "tracing"}))
    command = [sys.executable, "-m", "tools", "view", "--outputs", str(outputs), "--port=0"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found
            yield found[0]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def url(tempo: RunningTempo, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Returns the address of the page."""
    with viewed(tempo, tmp_path_factory.mktemp("view")) as address:
        yield address


@pytest.fixture(scope="module")
def page(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Generator[Page]:
    """Returns a page of a browser, which has to ask the view's own server alone."""
    try:
        shared.install(Progress(), PACKAGES)
    except LabError as error:
        pytest.skip(f"Chromium cannot be installed: {error}")
    chromium = program()
    if chromium is None:
        pytest.skip("there is no Chromium, and only root can install it: apt-get install chromium fonts-dejavu-core")
    with browser(chromium, tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


@pytest.fixture
def keep(page: Page, pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Takes a picture of the page for the docs; writes it with `--write-golden`."""

    def kept(name: str) -> None:
        content = page.picture()
        assert len(content) <= LARGEST_PICTURE
        assert (PICTURES / f"{name}.png").exists() or pytestconfig.getoption("write_golden")
        if pytestconfig.getoption("write_golden"):
            PICTURES.mkdir(exist_ok=True)
            (PICTURES / f"{name}.png").write_bytes(content)

    return kept


def button(text: str, number: int = 0) -> str:
    """Returns the expression for a button with a text, such as the second one that shows a trace."""
    found = (
        f'[...document.querySelectorAll("button, a")].filter(each => each.innerText.trim().toLowerCase() === "{text}")'
    )
    return f"{found}[{number}]"


def leaf(text: str) -> str:
    """Returns the expression for the element that has this text alone."""
    return (
        f'[...document.querySelectorAll("body *")].find(each => !each.children.length && each.textContent === "{text}")'
    )


def rows(page: Page) -> list[list[str]]:
    """Returns the texts of the list's rows."""
    script = '[...document.querySelectorAll("table tbody tr")].map(row => row.innerText.split(/\\s*\\n\\s*|\\t/))'
    return [[text for text in row if text.strip()] for row in page.value(script) if any(text.strip() for text in row)]


def fill(page: Page, *criteria: str, offered: str = "") -> None:
    """Fills the search bar as a person does: a key, Enter, a value, Enter, the next key.

    Args:
        page: the page of the search.
        criteria: the keys, with `=` and the value where there is one.
        offered: a text that the page has to offer as the last value, before it is typed.
    """
    page.click('document.querySelector("[data-testid=add-button]")')
    for criterion in criteria:
        key, _, value = criterion.partition("=")
        wait_for(f"the key {key}", lambda key=key: _typed(page, key))
        page.press("Enter")
        wait_for("the field of its value", lambda key=key: _field(page) == f"{key}=")
        if criterion == criteria[-1]:
            page.wait_for_text(offered)
        page.type(value)
        page.press("Enter")


def _typed(page: Page, key: str) -> bool:
    """Types a key into the empty field; tells whether it is there: Lens makes another field while names arrive."""
    if _field(page) == "":
        page.type(key)
    return _field(page) == key


def _field(page: Page) -> str | None:
    return page.value("document.activeElement.value ?? null")


def search(page: Page, url: str, *criteria: str) -> list[list[str]]:
    """Opens the page, searches, and returns the texts of the list's rows."""
    page.open(f"{url}/zipkin/")
    page.wait_for_text("Rates by route")
    fill(page, *criteria)
    page.click(button("run query"))
    page.wait_for_text("Service filters")
    return wait_for("the list", lambda: rows(page))


def tags(page: Page) -> dict[str, str]:
    """Returns the attributes that the page shows of a span."""
    lines = page.text().rpartition("\nTags\n")[2].splitlines()
    return dict(line.split("\t") for line in lines if "\t" in line)


def test_a_person_finds_a_trace_and_reads_an_attribute(page: Page, url: str, keep: Callable[[str], None]) -> None:
    found = search(page, url, "serviceName=shop", "http.route=/cart", "minDuration=200ms")
    assert len(found) >= 10
    assert all(row[0] == "nginx: GET /cart" and "300.000ms" in row for row in found), found
    keep("search")
    page.click(button("show"))
    page.wait_for_text("look up the stock")
    shown = page.text()
    assert "Total Spans\n4\n" in shown
    # The tree is in the order of the calls.
    names = ("nginx: GET /cart", "nginx: GET\n", "shop: GET /cart", "shop: look up the stock")
    assert [shown.rindex(name) for name in names] == sorted(shown.rindex(name) for name in names)
    found = tags(page)
    assert (found["http.route"], found["http.status_code"], found["host.name"]) == ("/cart", "200", "nginx-7d4b9c")
    keep("trace")
    page.click(leaf("shop: GET /cart"))
    wait_for("the attributes of another span", lambda: tags(page) == {"http.route": "/cart"})


@pytest.mark.parametrize(
    ("criteria", "offered"),
    [
        (["serviceName=shop"], "shop"),
        (["serviceName=shop", "spanName=look up the stock"], "look up the stock"),
        (["serviceName=nginx", "remoteServiceName=shop"], "shop"),
        (["http.route=/cart"], "/cart"),
    ],
)
def test_the_search_bar_offers_what_tempo_knows(page: Page, url: str, criteria: list[str], offered: str) -> None:
    page.open(f"{url}/zipkin/")
    page.wait_for_text("Rates by route")
    fill(page, *criteria, offered=offered)


def test_a_failed_request_is_red_and_says_why(page: Page, url: str, keep: Callable[[str], None]) -> None:
    assert [row[0] for row in search(page, url, "error")] == ["nginx: POST /pay"] * 2
    bar = 'document.querySelector("[data-testid=TraceSummaryRow-duration]").parentElement.querySelectorAll("*")'
    colours = page.value(f"[...{bar}].map(each => getComputedStyle(each).backgroundColor)")
    reds = [colour for colour in colours if _is_red(colour)]
    assert reds, colours
    page.click(button("show"))
    page.wait_for_text("look up the stock")
    assert tags(page)["error"] == "HTTP 502"
    page.click(leaf("shop: POST /pay"))
    page.wait_for_text("no connection to the stock")
    assert "exception" in page.text()
    keep("error")


def _is_red(colour: str) -> bool:
    red, green, blue, *_ = [float(number) for number in re.findall(r"[\d.]+", colour)]
    return red > 150 and green < 80 and blue < 80


def test_a_trace_is_found_by_its_id(page: Page, url: str, tempo: RunningTempo) -> None:
    sent = request(time.time(), "/one", 0.020)
    send(tempo, sent)
    page.open(f"{url}/zipkin/traces/{sent[0].trace_id}")
    page.wait_for_text("nginx: GET /one")
    page.open(f"{url}/zipkin/traces/{'0' * 31}1")
    page.wait_for_text("not found")


def test_the_rates_of_each_route_are_those_of_the_traffic(page: Page, url: str, keep: Callable[[str], None]) -> None:
    page.open(f"{url}/zipkin/")
    page.wait_for_text("Rates by route")
    page.click(button("rates by route"))
    page.wait_for_text("Requests/s")
    # The window is a quarter of an hour, and up to half a minute more.
    a_route = len(range(10, MINUTES * 60, 10)) / 915

    def listed() -> Any:
        page.open(f"{url}/rates")
        page.wait_for_text("ounted")
        found = {(row[0], row[1]): row[2:] for row in rows(page)}
        # Tempo's metrics have a trace some seconds later than its search.
        all_there = ("nginx", "/cart") in found and float(found["nginx", "/cart"][0]) > 1.9 * a_route
        return found if all_there and "Tempo counted" in page.text() else None

    found = wait_for("the rates", listed, 30)
    assert float(found["nginx", "/cart"][0]) == pytest.approx(2 * a_route, rel=0.03)
    assert float(found["nginx", "/"][0]) == pytest.approx(a_route, rel=0.03)
    assert (found["nginx", "/pay"][1], found["nginx", "/"][1]) == ("100 %", "0.00 %")
    # Of 12 ms, from a bucket that doubles.
    assert 8 <= float(found["nginx", "/"][2].removesuffix(" ms")) <= 17
    assert page.value('getComputedStyle(document.querySelector("td.failing a")).color') == "rgb(197, 26, 45)"
    keep("rates")
    page.click('document.querySelector("td.failing a")')
    page.wait_for_text("POST /pay")
    page.open(f"{url}/rates")
    page.wait_for_text("Requests/s")
    # The estimate is above the 300 ms of the slowest requests: the link has to find these nevertheless.
    page.click('[...document.querySelectorAll("td:last-child a")][0]')
    wait_for("slow requests", lambda: [row for row in rows(page) if "300.000ms" in row])


@pytest.mark.parametrize(("service", "route"), [("spice", "/salt and pepper"), ("plain", "")])
def test_the_link_of_any_route_leads_to_its_requests(
    page: Page, url: str, tempo: RunningTempo, service: str, route: str
) -> None:
    start, attributes = time.time_ns() - 5 * 10**9, {"http.route": route} if route else {}
    server = Sent(service, "behind the link", new_id(), start, 0.02, attributes=attributes)
    # A route of another name begins alike; a CLIENT span has no route.
    other = Sent(service, "other", new_id(), start, 0.02, attributes={"http.route": "/salt"})
    send(tempo, [server, other, Sent(service, "call", new_id(), start, 0.02, kind=CLIENT)])
    named = (
        f'[...document.querySelectorAll("tr")].find(row => row.innerText.startsWith("{service}\\t{route or "(no"}"))'
    )
    # Tempo's metrics have a trace some seconds later than its search.
    wait_for("the route", lambda: _counted(page, url) and page.value(f"Boolean({named})"), 30)
    page.click(f"{named}.querySelector('a')")
    page.wait_for_text("Service filters")
    assert [row[0] for row in wait_for("the list", lambda: rows(page))] == [f"{service}: behind the link"]


def _counted(page: Page, url: str) -> bool:
    page.open(f"{url}/rates")
    page.wait_for_text("ounted")
    return True


def test_without_metrics_the_rates_are_counted_from_a_search(page: Page, tmp_path: Path) -> None:
    with running_tempo(tmp_path / "tempo", traceqlMetrics=False) as tempo, viewed(tempo, tmp_path) as url:
        send(tempo, [span for age in range(10) for span in request(time.time() - age, "/", 0.012)])
        page.open(f"{url}/rates")
        page.wait_for_text("Counted from a search: Tempo answers no TraceQL metrics")
        found = {(row[0], row[1]): row[2:] for row in rows(page)}
        assert found["nginx", "/"][2] == "12.0 ms"
        assert float(found["nginx", "/"][0]) == pytest.approx(10 / 915, rel=0.05)


def seconds_to_draw(page: Page, url: str, spans: list[Sent]) -> float:
    """Returns the time from opening a trace until its page answers a click, the lesser of two."""
    took: list[float] = []
    for _ in range(2):
        start = time.monotonic()
        page.open(f"{url}/zipkin/traces/{spans[0].trace_id}")
        wait_for("the trace", lambda: "Total Spans" in page.text(), 60)
        page.click(leaf(f"{spans[1].service}: {spans[1].name}"))
        wait_for("the span", lambda: spans[1].id in page.text(), 60)
        took.append(time.monotonic() - start)
    return min(took)


def test_a_trace_of_ten_thousand_spans_is_drawn_and_answers_clicks(page: Page, url: str, tempo: RunningTempo) -> None:
    small, big = large(10), large(10_000)
    send(tempo, small)
    send(tempo, big)
    ratio = seconds_to_draw(page, url, big) / seconds_to_draw(page, url, small)
    print(f"ten thousand spans take {ratio:.1f} times as long as ten")
    # 24 times as long without the changes to Lens's script, 5 with them (measured on two cores that others used too).
    assert ratio < 12


HOSTILE = """</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">"""


def odd() -> dict[str, list[Sent]]:
    """Returns traces as broken or hostile clients make them; each has a span called `seen`."""
    at = time.time_ns()

    def span(trace_id: str, name: str = "seen", **fields: Any) -> Sent:
        made = Sent("nginx", name, trace_id, at, 0.01, **fields)
        made.attributes = made.attributes or {"kept": name}
        return made

    def chain(length: int) -> list[Sent]:
        made = [span(new_id())]
        for number in range(length):
            made.append(span(made[0].trace_id, f"step {number}", parent=made[-1], kind=INTERNAL))
        return made

    ids = [new_id() for _ in range(9)]
    itself, first = span(ids[1]), span(ids[2], kind=CLIENT)
    itself.parent = itself
    second = span(ids[2], "other", parent=first)
    first.parent = second
    hostile = span(
        ids[4],
        attributes={HOSTILE: HOSTILE, "link": "javascript:window.hacked=1", "json": '{"a": "<b>1</b>"}'},
        resource={"service.name": HOSTILE},
        error=True,
        message=HOSTILE,
        event=HOSTILE,
    )
    backwards, unnamed, alike = span(ids[6]), span(ids[7]), span(ids[8])
    backwards.seconds = -5
    return {
        "the parent is of a client without spans": [span(ids[0], parent=span(ids[0])), span(ids[0], "other")],
        "its own parent": [itself],
        "a circle": [first, second],
        "several roots": [span(ids[3]), span(ids[3], "other"), span(ids[3], "third")],
        "code in each text": [hostile, span(ids[4], HOSTILE, parent=hostile, kind=CLIENT)],
        "a long value": [span(ids[5], attributes={"long": "x" * 100_000})],
        "the end before the start": [backwards],
        "no names": [unnamed, span(ids[7], "", parent=unnamed, resource={"service.name": ""})],
        "one ID twice": [alike, span(ids[8], "other", kind=CLIENT, id=alike.id)],
        "many below each other": chain(300),
    }


@pytest.mark.parametrize("kind", list(odd()))
def test_an_odd_trace_is_drawn_and_runs_no_code(page: Page, url: str, tempo: RunningTempo, kind: str) -> None:
    spans = odd()[kind]
    tempo.send(spans)
    wait_for("the trace", lambda: len(tempo.spans(spans[0].trace_id)) >= len(spans))
    page.logged.clear()
    page.open(f"{url}/zipkin/traces/{spans[0].trace_id}")
    page.wait_for_text("seen")
    assert f"Total Spans\n{len(spans)}\n" in page.text()
    page.click(
        '[...document.querySelectorAll("*")].find(each => !each.children.length && /: seen$/.test(each.textContent))'
    )
    wait_for("the attributes", lambda: "Tags" in page.text())
    assert page.value("window.hacked") is None
    assert page.logged == []


def test_the_browser_asks_the_page_s_own_server_alone(page: Page, url: str) -> None:
    page.requested.clear()
    page.logged.clear()
    for path in ("/zipkin/", "/rates", "/zipkin/dependency"):
        page.open(f"{url}{path}")
        page.wait_for_text("Zipkin")
    assert page.requested
    elsewhere = [each for each in page.requested if not each.startswith((f"{url}/", "data:"))]
    assert elsewhere == []
    assert [text for text in page.logged if "Content Security Policy" in text or "Refused" in text] == []
