"""Makes fixtures from real previews: `python -m tests.unit.pull_request.trim FOLDER`, with one preview a JSON file.

It removes all that the comment never reads, and with it every path of the machine that made the previews.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from tools.pull_request.differences import is_auto_named

FIXTURES = Path(__file__).parent / "fixtures"
_STATE = ("type", "inputs", "parent")
_STEP = ("op", "urn", "oldState", "newState", "replaceReasons", "detailedDiff")
_PREVIEW = ("config", "steps", "diagnostics", "changeSummary")
_PROGRAM = re.compile(r"(from \$PATH at )\S*/")


def trimmed(preview: dict[str, Any]) -> dict[str, Any]:
    """Removes what the comment never reads; the configuration stays, since the comment must not show it."""
    steps = [_kept(step, _STEP) for step in preview.get("steps", [])]
    for step in steps:
        for name in {"oldState", "newState"} & step.keys():
            step[name] = _kept(step[name], _STATE)
    messages = [
        message | {"message": _PROGRAM.sub(r"\1/usr/local/bin/", message["message"])}
        for message in preview.get("diagnostics", [])
    ]
    return _kept(preview | {"steps": steps, "diagnostics": messages}, _PREVIEW)


def shape(preview: dict[str, Any]) -> Any:
    """Returns all that a comment is made of, but for names with a random end."""
    steps = sorted(
        (
            step["op"],
            step["urn"],
            sorted(step.get("detailedDiff") or {}),
            sorted(step.get("replaceReasons") or []),
            [
                is_auto_named(step[name]["inputs"])
                for name in ("oldState", "newState")
                if "inputs" in step.get(name, {})
            ],
        )
        for step in preview["steps"]
    )
    errors = [message["message"] for message in preview["diagnostics"] if message["severity"] == "error"]
    return steps, errors, preview["changeSummary"]


def trimmed_log(text: str) -> str:
    """Removes from an event log what the comment never reads: policy events stay, and the cancel event."""
    events = [json.loads(line) for line in text.splitlines()]
    kept = [event for event in events if {"policyEvent", "cancelEvent"} & event.keys()]
    return "".join(f"{json.dumps(event, ensure_ascii=False)}\n" for event in kept)


def _kept(part: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: part[key] for key in keys if key in part}


def main(folder: Path) -> None:
    """Trims every preview in a folder."""
    for file in sorted(folder.glob("*.json")):
        text = json.dumps(trimmed(json.loads(file.read_text())), indent=1, ensure_ascii=False)
        (FIXTURES / file.name).write_text(f"{text}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
