"""`python -m tools size`: what it answers, and what it says of wrong arguments."""

import itertools
import math
import random
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime import set_all_config

import settings
from lab.paths import REPOSITORY
from settings.types import amount
from tests import golden
from tools.__main__ import main
from tools.measure import results
from tools.size import command
from tools.size.arguments import STORAGES, WrongArgumentsError, read
from tools.size.figures import PLAIN, PROXIED, RATES, STORED, Figures, Point, figures
from tools.size.parts import fullest_share
from tools.size.plan import Plan, plan
from tools.size.quantities import whole_gibibytes
from tools.size.report import report

FIGURES = Figures(
    [
        Point(1000, 650, 340, 20, 100, 100, 250),
        Point(8000, 650, 330, 16, 90, 120, 600),
        Point(2000, 1050, 700, 25, 120, 110, 500),
        Point(1000, 2650, 2200, 40, 200, 130, 450),
    ],
    workers=[(100, 0.01), (1000, 0.06)],
    nginx_cpu=24.4,
    lab_cpu=22.3,
    sources=figures().sources,
)
"""Made for these tests, so that they do not change with each run of the measurements."""


def answer(**given: str) -> Plan:
    """Returns the answer for 1000 requests a second, of other arguments where they are given."""
    return plan(read({"requests": "1000"} | given), FIGURES)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Returns what the command prints."""
    assert main(["size", *arguments]) == 0
    return capsys.readouterr().out


def value(made: Plan, *place: str) -> Any:
    """Returns the value of a key, whether the models have it or not."""
    return next(key.value for key in made.keys if key.place == place)


SIZES: dict[str, Callable[[Plan], float]] = {
    "pods of NGINX": lambda made: made.nginx.replicas,
    "cores of NGINX": lambda made: made.nginx.replicas * made.nginx.cores,
    "Collectors": lambda made: made.collectors.replicas,
    "cores of Collectors": lambda made: made.collectors.replicas * made.collectors.cores,
    "parts of Tempo": lambda made: sum(part.replicas for part in made.tempo.parts),
    "memory of Tempo": lambda made: made.tempo.memory_limit,
    "cores of Tempo": lambda made: made.tempo.cores,
    "storage": lambda made: made.storage.grown,
    "disk of Tempo": lambda made: made.storage.working,
}


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("requests", ["1", "300", "5000", "5001", "20000", "80000", "81000", "1000000"]),
        ("spans_per_request", ["1", "1.9", "2", "3", "40", "2000"]),
        ("span_bytes", ["100", "650", "700", "1050", "1200", "2650", "9000", "1000000"]),
        ("sampling", ["0.001", "0.3", "0.9", "1"]),
        ("headroom", ["0", "0.3", "2", "10"]),
        ("retention", ["5m", "48h", "336h", "8760h"]),
        ("average", ["0.001", "0.4", "1"]),
    ],
)
def test_more_is_never_answered_with_less(argument: str, values: list[str]) -> None:
    answers = [answer(**{argument: each}) for each in values]
    for name, size in SIZES.items():
        for (less, before), (more, after) in itertools.pairwise(zip(values, answers, strict=True)):
            assert size(after) >= size(before), f"{name}: --{argument} {more} needs less than {less}"


def test_twice_the_retention_keeps_twice_as_much_and_twice_the_outage_waits_in_twice_the_volume() -> None:
    once, twice = answer(), answer(retention="672h", outage="20m")
    assert twice.storage.kept == pytest.approx(2 * once.storage.kept)
    assert twice.storage.a_year == once.storage.a_year
    assert twice.collectors.volume == pytest.approx(2 * once.collectors.volume)


def test_the_storage_is_that_of_the_measured_bytes_of_a_span() -> None:
    made = answer(span_bytes="1050", retention="24h", headroom="0.5")
    # 1000 requests with two spans.
    assert made.storage.a_second == 2000 * 700
    assert made.storage.kept == 2000 * 700 * 86_400
    assert made.storage.grown == 1.5 * made.storage.kept
    assert answer(span_bytes="1050", retention="24h", average="0.25").storage.kept == made.storage.kept / 4


def test_a_volume_holds_the_blocks_and_what_is_not_among_them_and_a_fifth_stays_free() -> None:
    made = answer(requests="100", span_bytes="1050", retention="48h", headroom="0")
    # The log of half an hour, one copy of blocks for a quarter and one for an hour, and a full block.
    besides = 200 * 1050 * 1800 + 200 * 350 * (900 + 3600) + 500 * 2**20
    assert made.storage.working == besides
    assert made.storage.volume == (200 * 700 * 48 * 3600 + besides) / 0.8
    assert value(made, "tempo", "persistence", "size") == whole_gibibytes(made.storage.volume)
    bucket = answer(requests="100", span_bytes="1050", retention="48h", headroom="0", storage="s3")
    assert bucket.storage.volume == besides / 0.8


def test_the_volume_of_a_part_of_tempo_is_its_share_of_three_copies_or_of_the_metrics_one() -> None:
    made = answer(requests="24000", span_bytes="1250", headroom="0")
    # 20 ingesters have three copies of each span, and 6 metrics generators have one.
    assert value(made, "tempo", "persistence", "size") == whole_gibibytes(made.storage.volume / 6)


def test_a_monolithic_tempo_ends_where_its_makers_say() -> None:
    # 25 MB/s of spans of 1250 bytes are 20 000 a second; of small ones, the number of spans ends it: 55 000.
    assert value(answer(requests="10000", headroom="0"), "tempo", "mode") == "monolithic"
    assert value(answer(requests="10001", headroom="0"), "tempo", "mode") == "distributed"
    assert value(answer(requests="27500", span_bytes="100", headroom="0"), "tempo", "mode") == "monolithic"
    assert value(answer(requests="27501", span_bytes="100", headroom="0"), "tempo", "mode") == "distributed"
    # The headroom counts.
    assert value(answer(requests="10000", headroom="0.1"), "tempo", "mode") == "distributed"


def test_the_parts_of_a_distributed_tempo_are_as_many_as_their_makers_say() -> None:
    made = answer(requests="24000", span_bytes="1250", headroom="0")
    assert made.load.megabytes == 60
    assert {part.name: part.replicas for part in made.tempo.parts} == {
        "distributor": 6,
        "ingester": 20,
        "querier": 30,
        "query-frontend": 2,
        "compactor": 12,
        "metrics-generator": 6,
    }


def test_a_collector_ends_at_the_lower_of_what_was_measured_and_what_is_published() -> None:
    # Published: 15 000 spans a second that come in, of which the Collector makes twice as many.
    published = answer(span_bytes="650").collectors
    assert (published.ends, published.is_measured) == (30_000, False)
    measured = answer(span_bytes="100000").collectors
    assert measured.is_measured
    assert measured.ends < 30_000


def test_the_fullest_collector_gets_what_chance_gives_it() -> None:
    # Six connections and two Collectors: all on one in 2 of 64 cases, five or more in 14.
    assert fullest_share(6, 2) == 1
    # Eight: all on one in 2 of 256 cases, which is rarer than one in a hundred.
    assert fullest_share(8, 2) == 7 / 8
    assert fullest_share(5, 1) == 1
    # The more Collectors there are, the likelier is it that one of them gets many.
    assert fullest_share(134, 67) == 9 / 134
    shares = [fullest_share(number, 10) for number in (10, 100, 1000, 10_000)]
    assert shares == sorted(shares, reverse=True)
    assert 0.1 < shares[-1] < 0.12


def test_a_collector_has_the_cores_and_the_volume_of_the_fullest_one() -> None:
    # Four connections and two Collectors: one may get all of them.
    made = answer(requests="20000", span_bytes="900", headroom="0")
    assert (made.collectors.replicas, made.collectors.fullest) == (2, 1)
    assert value(made, "collector", "resources", "cpuLimit") == "2"
    assert made.collectors.volume == pytest.approx(40_000 * 600 * 900 * 1024 / 750)
    # Spans of applications come from many pods, and so evenly.
    spread = answer(requests="100", spans_per_request="3000").collectors
    assert 1 / spread.replicas < spread.fullest < 1.1 / spread.replicas


def test_blocks_go_to_a_bucket_when_they_need_more_than_a_large_volume() -> None:
    assert answer(requests="10", retention="48h").storage.kind == "local"
    assert answer(requests="1000").storage.kind == "s3"
    assert answer(requests="1000", storage="local").storage.kind == "local"
    # 0.9 TiB of blocks do not leave a fifth of 1 TiB free.
    assert answer(requests="492", span_bytes="1050", headroom="0").storage.grown < 0.79 * 2**40
    assert answer(requests="492", span_bytes="1050", headroom="0").storage.kind == "local"
    assert answer(requests="590", span_bytes="1050", headroom="0").storage.grown < 2**40
    assert answer(requests="590", span_bytes="1050", headroom="0").storage.kind == "s3"
    assert answer(requests="10", storage="gcs").storage.kind == "gcs"


def loaded(made: Plan) -> settings.Settings:
    """Returns the program's own settings of an answer, which has none of them refused."""
    values = golden.as_pulumi_passes_it(made.configuration)
    set_all_config({f"nginx-tracing:{key}": value for key, value in values.items()}, [])
    try:
        return settings.load()
    except pulumi.RunError as error:
        pytest.fail(str(error))


LOADS = [
    {},
    {"requests": "1", "spans_per_request": "1", "span_bytes": "100"},
    {"requests": "20000", "span_bytes": "900"},
    {"requests": "20000", "sampling": "0.05", "average": "0.3"},
    {"requests": "1000000", "span_bytes": "900"},
    {"requests": "100000000"},
    {"requests": "100000000", "spans_per_request": "1.0001", "span_bytes": "9900", "headroom": "0.01"},
    {"requests": "20000", "sampling": "0.0001"},
    {"requests": "5", "span_bytes": "16777216"},
    {"requests": "1", "sampling": "0.01", "spans_per_request": "10000", "span_bytes": "9000"},
    {"requests": "100", "storage": "local", "retention": "87600h"},
    {"requests": "100", "storage": "gcs"},
    {"requests": "100", "storage": "azure", "outage": "24h"},
    {"requests": "10", "spans_per_request": "10000", "span_bytes": "9000"},
]


@pytest.mark.parametrize("given", LOADS, ids=str)
def test_the_program_takes_every_answer(given: dict[str, str]) -> None:
    made = answer(**given)
    taken = loaded(made)
    assert taken.nginx.replicas == made.nginx.replicas
    assert taken.collector.replica_count == made.collectors.replicas
    assert taken.tempo.retention == made.load.retention
    for part in (taken.nginx, taken.collector, taken.tempo):
        assert amount(part.resources.memory) <= amount(part.resources.memory_limit)
        assert amount(part.resources.cpu) <= amount(part.resources.cpu_limit or part.resources.cpu)
    assert amount(taken.collector.queue.size) >= made.collectors.volume
    assert amount(taken.tempo.persistence.size or "0") >= (made.storage.volume if not made.tempo.is_distributed else 0)


def test_any_load_is_refused_as_wrong_or_answered_with_what_the_program_takes() -> None:
    chance = random.Random(21)  # noqa: S311 - no secret

    def between(least: float, most: float) -> float:
        return math.exp(chance.uniform(math.log(least), math.log(most)))

    answered = 0
    for _ in range(150):
        given: dict[str, str | None] = {
            "requests": f"{between(1, 1e8):.3f}",
            "spans_per_request": chance.choice(["1", "2", f"{between(1, 10_000):.3f}"]),
            "span_bytes": f"{between(100, 2**24):.0f}",
            "sampling": chance.choice([None, f"{between(0.0001, 1):.4f}", f"{between(1e-6, 1):.7f}"]),
            "headroom": chance.choice([None, "0", f"{chance.uniform(0, 10):.2f}"]),
            "retention": chance.choice([None, "5m", f"{between(1, 87_600):.0f}h"]),
            "outage": chance.choice([None, "1s", f"{between(1, 1440):.0f}m"]),
            "storage": chance.choice([None, *STORAGES]),
        }
        try:
            made = plan(read(given), figures())
        except WrongArgumentsError:
            continue
        loaded(made)
        assert report(made)
        answered += 1
    assert answered > 50


def test_the_models_have_every_key_of_an_answer() -> None:
    for given in LOADS:
        made = answer(**given)
        for key in made.keys:
            held: Any = made.configuration
            for part in key.place:
                held = held[part]
            assert held == key.value


def test_what_is_printed_is_a_stack_s_file_that_the_program_takes(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--requests", "20000", "--spans-per-request", "2", "--span-bytes", "900")
    made = plan(read({"requests": "20000", "spans_per_request": "2", "span_bytes": "900"}), figures())
    assert golden.of_stack_file(text) == made.configuration
    assert list(yaml.safe_load(text)) == ["config"]
    loaded(made)


@pytest.mark.parametrize("requests", ["200", "20000"])
def test_each_number_has_its_reason_above_it(requests: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "--requests", requests, "--sampling", "0.5").splitlines()
    begin = lines.index("config:")
    keys = [number for number, line in enumerate(lines) if re.fullmatch(r" +\w+: \S.*", line)]
    assert len(keys) > 10
    for number in keys:
        assert number > begin
        assert re.match(r" +# \S", lines[number - 1]), f"no reason above {lines[number]!r}"


def test_the_first_lines_say_where_one_of_each_ends(capsys: pytest.CaptureFixture[str]) -> None:
    head, _, _ = printed(capsys, "--requests", "20000", "--span-bytes", "900", "--headroom", "0").partition("config:")
    title, _, table = head.partition("\n\n")
    assert title.replace("\n# ", " ") == (
        "# 20000 requests/s, 2 spans each of 900 bytes: 40000 spans/s, 36.0 MB/s. Everything is sized for that, "
        "without a headroom."
    )
    rows = {row.split("  ")[0]: row for row in re.findall(r"^#   (.+)$", table, re.MULTILINE)}
    assert "27778 spans/s, 25 MB/s" in rows["monolithic Tempo"]
    assert "quoted: 25-35 MB/s" in rows["monolithic Tempo"]
    assert "spans/s a core" in rows["Collector"]
    assert "81967 requests/s, 2 workers" in rows["NGINX"]
    assert "the official module" in rows["NGINX"]


def test_every_figure_says_whether_it_was_measured_or_is_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, sources = printed(capsys, "--requests", "100").partition("# Where the figures are from\n")
    listed = " ".join(re.sub(r"^# ?", "", line) for line in sources.splitlines())
    for name in (STORED, PROXIED, RATES, PLAIN):
        assert f"`{name}`: " in listed
    assert "the lab's stand-in for ngx_otel_module, not the official one" in listed
    assert "the official module 0.1.2" in listed
    assert len(re.findall(r"https://", listed)) == 4


@pytest.mark.parametrize(
    ("spans", "reason"),
    [("2400", "measured"), ("12000", "measured up to 8000 spans/s and 5.2 MB/s, a straight line beyond")],
)
def test_what_goes_beyond_the_measured_rates_is_not_called_measured(spans: str, reason: str) -> None:
    made = answer(requests=spans, spans_per_request="1", span_bytes="650", headroom="0")
    reasons = {key.place: key.reason for key in made.keys}
    for component in ("collector", "tempo"):
        assert reasons[component, "resources", "memory"].endswith(f"({reason})")
    assert reasons["tempo", "resources", "cpu"].endswith(f"({reason})")


@pytest.mark.parametrize(
    ("headroom", "duration"), [("10", "60 s"), ("1", "10 min"), ("0.02", "8 h"), ("0.000001", "6944 days")]
)
def test_the_time_to_catch_up_is_said_as_people_count_it(
    headroom: str, duration: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, "--requests", "100", "--headroom", headroom)
    assert f"Tempo was away for 10m: what waited is sent within {duration} at the busiest time" in text


def test_the_limits_that_follow_are_those_of_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--requests", "100", "--spans-per-request", "3000", "--span-bytes", "2000")
    _, _, limits = text.partition("# Limits that follow\n")
    assert "takes 12000000 bytes" in limits
    assert "NGINX → Collector: sends at most 7.5 MiB" in limits
    assert "Tempo was away for 10m: what waited is sent within 33 min" in limits


def wrong(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Returns the errors of wrong arguments."""
    assert main(["size", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err.splitlines()


def test_all_wrong_arguments_are_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "--requests 0 --spans-per-request 0.5 --span-bytes 1.5 --sampling 10% --average 0 --headroom -1"
    others = "--retention 14d --outage 25h --storage minio --replicas 3"
    assert wrong(capsys, *arguments.split(), *others.split()) == [
        "error: --replicas: is no argument; --help lists them.",
        "error: 3: is no argument; --help lists them.",
        "error: --requests 0: must be a number from 1 to 100000000.",
        "error: --spans-per-request 0.5: must be a number from 1 to 10000.",
        "error: --span-bytes 1.5: must be a whole number from 100 to 16777216.",
        "error: --sampling 10%: must be a number from 0.0001 to 1.",
        "error: --average 0: must be a number from 0.001 to 1.",
        "error: --headroom -1: must be a number from 0 to 10.",
        "error: --retention 14d: must have the unit ms, s, m or h, which Go and NGINX both know: 336h.",
        "error: --outage 25h: must be from 1s to 24h: Tempo finds spans that come later by their trace's ID alone.",
        "error: --storage minio: must be one of local, s3, gcs, azure.",
    ]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("", "error: --requests: is required: requests a second at the busiest time."),
        ("--requests 1e3", "error: --requests 1e3: must be a number from 1 to 100000000."),
        ("--requests nan", "error: --requests nan: must be a number from 1 to 100000000."),
        ("--requests ٣", "error: --requests ٣: must be a number from 1 to 100000000."),
        (
            "--requests 9 --retention 1m",
            "error: --retention 1m: must be from 5m to 87600h: Tempo looks at its storage every 5m.",
        ),
        (
            "--requests 9 --outage soon",
            "error: --outage soon: must be a whole number with its unit: ms, s, m or h, such as 500ms or 48h.",
        ),
        (
            "--requests 9 --spans-per-request 10000 --span-bytes 9500",
            "error: --spans-per-request, --span-bytes: make traces of 95 MB; at most 90 MB was measured.",
        ),
        (
            "--requests 9 --sampling 0.00015",
            "error: --sampling 0.00015: must be in steps of 0.0001, as `nginx.sampling.ratio`.",
        ),
        (
            "--requests 100000000 --spans-per-request 4000 --span-bytes 10000",
            "error: --requests, --spans-per-request, --span-bytes: make 5200.0 TB/s with the headroom; at most 1 TB/s "
            "is planned.",
        ),
        (
            "--requests 20000 --storage local",
            "error: --storage local: 65.0 MB/s with the headroom are more than one monolithic Tempo takes (25 MB/s), "
            "and the parts of a distributed one share a bucket; use s3, gcs or azure.",
        ),
    ],
)
def test_a_wrong_argument_is_said(arguments: str, error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert wrong(capsys, *arguments.split()) == [error]


def test_a_load_is_read_as_it_is_written() -> None:
    load = read({"requests": "2500.5", "sampling": "0.1"})
    assert (load.requests, load.sampling, load.spans_per_request, load.outage) == (2500.5, 0.1, 2, "10m")
    with pytest.raises(WrongArgumentsError):
        read({})


def test_a_result_that_is_missing_is_said_with_the_command_that_measures_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "measurements.json"
    entries = results.read()
    results.write({name: entry for name, entry in entries.items() if name != STORED}, file)
    monkeypatch.setattr(command, "figures", lambda: figures(file))
    assert wrong(capsys, "--requests", "9") == [
        "error: docs/explanation/measurements.json lacks `stored-spans`, which sizes are computed from: "
        '`make bench ARGS="--only stored-spans"`'
    ]


def test_larger_spans_cost_more_of_everything_and_small_ones_no_less_than_the_smallest_that_was_measured() -> None:
    sizes = [100, 650, 651, 1050, 2650, 26_500]
    of_size: list[Callable[[float], float]] = [
        FIGURES.stored,
        partial(FIGURES.collector_cores, 1000),
        partial(FIGURES.tempo_cores, 1000),
        partial(FIGURES.tempo_bytes, 1000),
    ]
    for cost in of_size:
        costs = [cost(size) for size in sizes]
        assert costs == sorted(costs)
        assert costs[0] == costs[1]
    memory = [FIGURES.collector_bytes(rate / 10) for rate in range(400)]
    assert memory == sorted(memory), "a rate at which less was measured makes a larger one no cheaper"
    assert FIGURES.stored(1050) == 700
    # Beyond the last one it goes on as from the first to the last.
    assert FIGURES.stored(4650) == pytest.approx(2200 + 2000 * (2200 - 330) / 2000)
    assert FIGURES.tempo_cores(16_000, 650) == pytest.approx(16_000 * 90e-6)


def test_a_request_takes_the_less_of_nginx_the_more_come() -> None:
    # Two pods have four workers. What was measured is for 100 and 1000 requests a second of one.
    assert FIGURES.nginx_cores(400, 4) == pytest.approx(4 * 0.01)
    assert FIGURES.nginx_cores(4000, 4) == pytest.approx(4 * 0.06)
    # With full cores it is what is quoted.
    assert FIGURES.nginx_cores(2e6 / 24.4, 2) == pytest.approx(2)
    each = [FIGURES.nginx_cores(rate, 4) / rate for rate in (100, 400, 4000, 40_000, 160_000)]
    assert each == sorted(each, reverse=True)


def test_an_answer_says_what_a_load_uses_beside_what_it_reserves(capsys: pytest.CaptureFixture[str]) -> None:
    made = answer(requests="4000", span_bytes="650", headroom="0", storage="s3")
    assert made.nginx.use
    assert (made.nginx.replicas * made.nginx.use.cores, made.nginx.cores) == (pytest.approx(0.24), 0.25)
    assert made.collectors.use
    assert made.collectors.replicas * made.collectors.use.cores == pytest.approx(8000 * 16e-6)
    assert made.collectors.fullest_use.cores == pytest.approx(8000 * 16e-6)
    assert made.tempo.use
    assert made.tempo.use.cores == pytest.approx(8000 * 90e-6)
    assert made.tempo.use.memory == pytest.approx(600 * 2**20)
    # There is no figure, ours or published, of what the parts of a distributed Tempo use.
    parts = answer(requests="24000", span_bytes="1250").tempo
    assert (parts.use, {part.use for part in parts.parts}) == (None, {None})
    table = printed(capsys, "--requests", "100").partition("# What each pod sees")[2]
    head, of_nginx = re.findall(r"^#   ((?:pod|NGINX) .+)$", table, re.MULTILINE)
    columns = re.split(r" {3,}", head)
    assert columns[5:] == ["uses cores", "and memory", "gets cores", "and memory"]
    assert re.split(r" {2,}", of_nginx)[-3:] == ["0.011", "0.25", "234 MB"]


PAGE = REPOSITORY / "docs" / "explanation" / "a-million-requests-a-second.md"


def test_the_page_of_a_million_requests_has_the_numbers_of_its_own_command() -> None:
    text = PAGE.read_text()
    (arguments,) = re.findall(r"tools size (--requests 1000000 --spans.*)$", text, re.MULTILINE)
    words = arguments.split()
    made = plan(
        read({word[2:].replace("-", "_"): words[at + 1] for at, word in enumerate(words) if at % 2 == 0}), figures()
    )
    pods = {
        name: int(number) for name, number in re.findall(r"^\| ([\w: -]+) \| (\d+) \| [\d.]+ core", text, re.MULTILINE)
    }
    assert pods == {
        "NGINX": made.nginx.replicas,
        "Collector": made.collectors.replicas,
        **{f"Tempo: {part.name}": part.replicas for part in made.tempo.parts},
    }
    (day, kept) = re.findall(r"gets (\d+) TB a day, and\s+holds ([\d.]+) PB", text)[0]
    # Figures are measured again now and then, and the page says what they are about.
    assert float(day) == pytest.approx(made.storage.a_second * 86_400 / 1e12, rel=0.1)
    assert float(kept) == pytest.approx(made.storage.kept / 1e15, rel=0.1)
