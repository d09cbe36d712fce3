"""`python -m tools comment`: its arguments, its exit codes, and the event log."""

import json
from pathlib import Path

import pytest

from tests.unit.pull_request.making import preview
from tools.__main__ import main
from tools.pull_request.comment import MARKER

POLICY = {"policyName": "p", "enforcementLevel": "advisory", "message": "m", "resourceUrn": ""}


def test_a_workflow_without_previews_still_gets_a_comment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "comment.md"
    assert main(["comment", f"prod={tmp_path / 'prod.json'}", "--output", str(output)]) == 0
    assert capsys.readouterr().out == ""
    text = output.read_text()
    assert text.startswith(f"{MARKER}\n")
    assert "**The preview left no file.**" in text


def test_text_that_is_no_utf_8_is_shown_as_far_as_it_can_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dev.json").write_bytes(b"killed\xff\n")
    assert main(["comment", f"dev={tmp_path / 'dev.json'}"]) == 0
    assert "```\nkilled\ufffd\n```" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dev.json"], "'dev.json' is not NAME=FILE, such as dev=dev.json"),
        (["dev="], "'dev=' is not NAME=FILE"),
        (["@dev=dev.json"], "'@dev=dev.json' is not NAME=FILE"),
        (["dev=a.json", "dev=b.json"], "error: PREVIEW: dev is given twice, as a.json and as b.json."),
        (["dev=a.json", "--commit", "main"], "'main' is not the hash of a commit"),
        (["dev=a.json", "--event-log", "prod=b"], "error: --event-log prod=b: there is no preview prod=FILE for it."),
        (["dev=a.json", "--output", "/dev/null/a"], "error: --output /dev/null/a: Not a directory."),
        ([f"e{number}=a.json" for number in range(2000)], "error: 2000 environments are too many for one comment."),
    ],
)
def test_wrong_arguments_are_said(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: object = main(["comment", *arguments])
    except SystemExit as exited:
        code = exited.code
    assert code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "verdict", "said"),
    [
        (json.dumps({"policyEvent": POLICY}), "no changes", "Policy `p`, advisory: the stack\n\n```\nm\n```"),
        (json.dumps({"policyEvent": POLICY | {"enforcementLevel": "mandatory"}}), "**failed**", "Policies refuse this"),
        ("", "no changes", None),
        ("{", "no changes", "Whether policies are violated is not known: the event log cannot be read."),
        (None, "no changes", "Whether policies are violated is not known: the event log is missing."),
    ],
)
def test_policies_are_read_from_the_event_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, verdict: str, said: str | None
) -> None:
    file, log = tmp_path / "dev.json", tmp_path / "dev.events"
    file.write_text(json.dumps(preview()))
    if content is not None:
        log.write_text(content)
    assert main(["comment", f"dev={file}", "--event-log", f"dev={log}"]) == 0
    text = capsys.readouterr().out
    assert f"| {verdict} |" in text
    assert said in text if said else "###" not in text
