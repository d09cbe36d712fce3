"""Tests the policy pack in a real preview: the engine asks it about each object as the provider made it."""

import json
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from lab.policy import preview
from tests.unit.pull_request.trim import FIXTURES, shape, trimmed, trimmed_log
from tools.lab_stack import lay_out

NAMESPACE = "policy-test"
PASSWORD = "correct-horse-battery"  # noqa: S105 - of nothing

FAULTY = f"""
from pulumi_kubernetes.core.v1 import ConfigMap, Pod, Secret, Service

# After everything else: the first object that a policy refuses ends the preview.
last = pulumi.ResourceOptions(depends_on=[tempo, collector, nginx])
place = {{"namespace": "{NAMESPACE}"}}
# As the tutorial has them: without a selector, with a floating tag, and in whatever namespace there is.
Service("unselecting", metadata=place, spec={{"ports": [{{"port": 80}}], "type": "NodePort"}}, opts=last)
Pod("floating", metadata=place, spec={{"containers": [{{"name": "main", "image": "nginx:latest"}}]}}, opts=last)
Secret("login", metadata=place, string_data=pulumi.Output.secret({{"password": "{PASSWORD}"}}), opts=last)
ConfigMap("elsewhere", data={{"app.ini": "password={PASSWORD}"}}, opts=last)
"""


def previewed(folder: Path, addition: str = "", event_log: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = lay_out(folder, "policy", NAMESPACE)
    program = folder / "__main__.py"
    before, outputs, after = program.read_text().partition("    return parts.outputs(")
    assert outputs
    program.write_text(f"{before}{textwrap.indent(addition, '    ')}{outputs}{after}")
    return preview(folder, "policy", environment, event_log)


def refusals(done: subprocess.CompletedProcess[str]) -> set[tuple[str, str]]:
    """Returns the policies that refused, each with the resource that the engine names beside it."""
    return set(re.findall(r"\[mandatory\] +(\S+) +\(\S+: (\S+)\)", done.stdout))


def test_the_labs_stack_passes_every_policy(lab: None, tmp_path: Path) -> None:
    done = previewed(tmp_path / "program")
    assert done.returncode == 0, done.stdout + done.stderr
    assert refusals(done) == set()
    # The engine says which packs it asked; without that line it asked none.
    assert "✅ nginx-tracing@" in done.stdout


def test_a_stack_with_faulty_objects_is_refused_by_the_policies_that_they_break(lab: None, tmp_path: Path) -> None:
    done = previewed(tmp_path / "program", FAULTY)
    assert done.returncode == 1, done.stdout + done.stderr
    assert refusals(done) == {
        ("images-pinned", "floating"),
        ("probes-and-resources", "floating"),
        ("restricted-security-context", "floating"),
        ("services-select-pods", "nginx-tracing-policy"),
        ("no-secrets-in-config-maps", "nginx-tracing-policy"),
        ("node-ports-declared", "nginx-tracing-policy"),
        ("one-namespace", "nginx-tracing-policy"),
    }
    assert 'the key "app.ini" has the value of the key "password" of Secret "login' in done.stdout
    assert f'it is in the namespace "default", where objects land that name none; allowed: "{NAMESPACE}"' in done.stdout
    assert PASSWORD not in done.stdout + done.stderr


def test_the_fixture_of_a_refused_preview_is_what_the_engine_writes(
    lab: None, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    events = tmp_path / "events"
    done = previewed(tmp_path / "program", FAULTY, events)
    assert done.returncode == 1, done.stdout + done.stderr
    found = json.dumps(trimmed(json.loads(done.stdout)), indent=1, ensure_ascii=False) + "\n"
    log = trimmed_log(events.read_text())
    # The preview itself has it, in the ConfigMap that is refused for it.
    assert PASSWORD not in log
    preview_file, log_file = FIXTURES / "refused.json", FIXTURES / "refused.events"
    if request.config.getoption("--write-golden"):
        preview_file.write_text(found)
        log_file.write_text(log)
    kept = preview_file.read_text()
    assert shape(json.loads(found)) == shape(json.loads(kept)), "`--write-golden`, then `make golden`, regenerate it"
    assert violations(log) == violations(log_file.read_text())


def violations(log: str) -> list[tuple[str, ...]]:
    """Returns the parts of the log that comments are made of, without messages, which contain random names."""
    events = [json.loads(line).get("policyEvent") for line in log.splitlines()]
    return sorted((event["policyName"], event["enforcementLevel"], event["resourceUrn"]) for event in events if event)
