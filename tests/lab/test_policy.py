"""The policy pack in a real preview: the engine starts it, and asks it about what the provider made of each object."""

import re
import subprocess
from pathlib import Path

from lab.policy import preview
from lab.stack import lay_out

NAMESPACE = "policy-test"
PASSWORD = "correct-horse-battery"  # noqa: S105 - of nothing

FAULTY = f"""
from pulumi_kubernetes.core.v1 import ConfigMap, Pod, Secret, Service

place = {{"namespace": stack.namespace}}
# As the tutorial has them: without a selector, with a floating tag, and in whatever namespace there is.
Service("unselecting", metadata=place, spec={{"ports": [{{"port": 80}}], "type": "NodePort"}})
Pod("floating", metadata=place, spec={{"containers": [{{"name": "main", "image": "nginx:latest"}}]}})
Secret("login", metadata=place, string_data=pulumi.Output.secret({{"password": "{PASSWORD}"}}))
ConfigMap("elsewhere", data={{"app.ini": "password={PASSWORD}"}})
"""


def previewed(folder: Path, addition: str = "") -> subprocess.CompletedProcess[str]:
    environment = lay_out(folder, "policy", NAMESPACE)
    with (folder / "__main__.py").open("a") as program:
        program.write(addition)
    return preview(folder, "policy", environment)


def refusals(done: subprocess.CompletedProcess[str]) -> set[tuple[str, str]]:
    """The policies that refused, each with the resource that the engine names beside it."""
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
