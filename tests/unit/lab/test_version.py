"""Tests which versions the lab runs: Kubernetes by `LAB_KUBERNETES`, the stack's programs by `LAB_VERSIONS`."""

from pathlib import Path

import pytest

from lab import stack
from lab.build.target import Target
from lab.build.targets import COLLECTORS, KUBERNETES, KUBERNETES_1_36, NEXT_COLLECTOR
from lab.cluster import version
from lab.errors import LabError
from lab.paths import MODULES
from settings.versions import SETS
from settings.versions.collector import KNOWN, shown_version
from tools.measure.configurations.documents import NEXT_IMAGE


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gives the test a machine without a lab."""
    monkeypatch.setattr(version, "STATE", tmp_path / "lab")
    monkeypatch.setattr(version, "_FILE", tmp_path / "lab" / "kubernetes-version")
    monkeypatch.delenv(version.VARIABLE, raising=False)
    monkeypatch.delenv(stack.VARIABLE, raising=False)
    return tmp_path / "lab"


def test_a_new_lab_runs_the_first_version_unless_another_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert version.kubernetes() is KUBERNETES
    monkeypatch.setenv("LAB_KUBERNETES", "1.36")
    assert version.kubernetes() is KUBERNETES_1_36


def test_a_lab_that_runs_keeps_its_version_for_later_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KUBERNETES", "1.36")
    version.keep()
    monkeypatch.delenv("LAB_KUBERNETES")
    assert version.kubernetes() is KUBERNETES_1_36


def test_another_version_than_the_lab_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    version.keep()
    monkeypatch.setenv("LAB_KUBERNETES", "1.36")
    with pytest.raises(LabError) as refusal:
        version.kubernetes()
    assert str(refusal.value) == (
        "The lab has Kubernetes 1.32, and LAB_KUBERNETES names 1.36: `make down lab-down` removes that lab, then "
        "`LAB_KUBERNETES=1.36 make lab-up` starts the other."
    )


def test_a_lab_of_an_earlier_checkout_has_the_first_version(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state.mkdir()
    monkeypatch.setenv("LAB_KUBERNETES", "1.36")
    with pytest.raises(LabError, match=r"The lab has Kubernetes 1\.32, and"):
        version.kubernetes()


def test_a_version_that_the_lab_cannot_build_is_refused_with_those_that_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KUBERNETES", "1.35")
    with pytest.raises(LabError) as refusal:
        version.kubernetes()
    assert str(refusal.value) == (
        "LAB_KUBERNETES is 1.35, which the lab cannot build. It takes 1.32 and 1.36: `LAB_KUBERNETES=1.36 make lab-up`."
    )


def test_stacks_run_the_current_set_unless_the_tutorial_s_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stack.stack_file() == "lab/Pulumi.lab.yaml"
    monkeypatch.setenv("LAB_VERSIONS", "tutorial")
    assert stack.stack_file() == "lab/Pulumi.lab-tutorial.yaml"


def test_an_unknown_set_of_versions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_VERSIONS", "newest")
    with pytest.raises(LabError, match=r"^LAB_VERSIONS is newest; it takes current and tutorial\.$"):
        stack.stack_file()


@pytest.mark.parametrize("target", [*COLLECTORS.values(), NEXT_COLLECTOR], ids=lambda target: target.name)
def test_a_collector_says_the_version_that_it_is_built_of(target: Target) -> None:
    folder = MODULES / target.name
    says = f'Version:     "{(folder / "go.mod").read_text().split("/collector/otelcol v")[1].split()[0]}"'
    assert says in (folder / "main.go").read_text()


def test_the_next_collector_is_newer_than_the_current_one_and_known() -> None:
    version = shown_version(NEXT_IMAGE)
    assert version is not None
    assert version > SETS["current"].collector
    assert version[:2] in KNOWN
