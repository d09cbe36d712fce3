"""Makes previews for single tests, of the shape that the engine writes."""

import copy
import json
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.unit.pull_request.trim import FIXTURES
from tools.pull_request.comment import comment
from tools.pull_request.preview_result import read

Object = dict[str, Any]
COMPONENT = "urn:pulumi:test::nginx-tracing::nginx-tracing:index:NginxOtel::nginx"


def fixture(name: str) -> Object:
    """Returns a preview of the real engine."""
    return json.loads((FIXTURES / f"{name}.json").read_text())


def state(inputs: Object) -> Object:
    """Returns a resource's state, with outputs that repeat the inputs as the provider's do."""
    return {"inputs": inputs, "outputs": {"__inputs": inputs} | inputs, "parent": COMPONENT}


def step(op: str, kind: str, *, old: Object | None = None, new: Object | None = None, **others: Any) -> Object:
    """Returns a step on one Kubernetes object, whose name is `app` unless its inputs have another one."""
    made: Object = {
        "op": op,
        "urn": f"urn:pulumi:test::nginx-tracing::nginx-tracing:index:NginxOtel$kubernetes:core/v1:{kind}::app",
        "detailedDiff": None,
    }
    for name, inputs in (("oldState", old), ("newState", new)):
        if inputs is not None:
            made[name] = state({"kind": kind, "metadata": {"name": "app"}} | inputs)
    return made | others


def preview(*steps: Object, **others: Any) -> Object:
    """Returns a preview that came to its end."""
    summary: dict[str, int] = {}
    for one in steps:
        summary[one["op"]] = summary.get(one["op"], 0) + 1
    return {"config": {}, "steps": list(steps), "diagnostics": [], "changeSummary": summary} | others


def error(message: str, severity: str = "error") -> Object:
    """Returns a message of the engine."""
    return {"message": f"{severity}: {message}\n", "severity": severity}


def multiplied(name: str, times: int) -> list[Object]:
    """Repeats the steps of a real preview under other names."""
    steps: list[Object] = []
    for number in range(times):
        for original in fixture(name)["steps"]:
            one = copy.deepcopy(original)
            one["urn"] += f"-{number}"
            for part in ("oldState", "newState"):
                metadata = one.get(part, {}).get("inputs", {}).get("metadata", {})
                if "name" in metadata:
                    metadata["name"] = f"{number}-{metadata['name']}"
            steps.append(one)
    return steps


def rendered(folder: Path, *documents: Object | str) -> str:
    """Returns the comment on these previews; the first environment is `env0`."""
    environments = list[Any]()
    for number, document in enumerate(documents):
        file = folder / f"{number}.json"
        file.write_text(document if isinstance(document, str) else json.dumps(document))
        environments.append(read(f"env{number}", file))
    return comment(environments)


def parsed(markdown: str) -> list[Token]:
    """Returns the blocks of a Markdown document, and the parts of its lines, by the standard's parser."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    return [part for token in tokens for part in (token, *(token.children or []))]
