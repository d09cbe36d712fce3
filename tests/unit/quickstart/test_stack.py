"""Tests the stack file that `make up` writes."""

from pathlib import Path

import pytest
import yaml

from tools.errors import ToolError
from tools.quickstart import stack
from tools.quickstart.clusters import Cluster


@pytest.fixture(autouse=True)
def _no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """Leaves the stack file alone of what `up` does."""

    def nothing(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(stack, "FILE", tmp_path / "Pulumi.quickstart.yaml")
    monkeypatch.setattr(stack, "STATE", tmp_path)
    monkeypatch.setattr(stack.cli, "provide_cli", nothing)
    monkeypatch.setattr(stack.Stack, "_quietly", nothing)
    monkeypatch.setattr(stack.Stack, "_change", nothing)


def on_the_lab(stack_file: str) -> stack.Stack:
    return stack.Stack(Cluster("lab", "the embedded lab", stack_file))


def image() -> str:
    return yaml.safe_load(stack.FILE.read_text())["config"]["nginx-tracing:collector"]["image"]


def test_a_person_s_edits_of_the_stack_file_are_kept() -> None:
    on_the_lab("lab/Pulumi.lab.yaml").up()
    stack.FILE.write_text(stack.FILE.read_text().replace(image(), "registry.example/own:1"))
    on_the_lab("lab/Pulumi.lab.yaml").up()
    assert image() == "registry.example/own:1"


def test_another_set_of_versions_than_the_stack_has_is_refused() -> None:
    on_the_lab("lab/Pulumi.lab.yaml").up()
    with pytest.raises(ToolError) as refusal:
        on_the_lab("lab/Pulumi.lab-tutorial.yaml").up()
    assert str(refusal.value) == (
        "Pulumi.quickstart.yaml was written from lab/Pulumi.lab.yaml, not from lab/Pulumi.lab-tutorial.yaml: `make "
        "down` removes it with the stack. Or edit its images: `make up` then updates the stack."
    )
    stack.FILE.unlink()
    on_the_lab("lab/Pulumi.lab-tutorial.yaml").up()
    assert image() == "localhost:5000/lab/otelcol:0.126.0"


def test_the_quickstart_has_the_demo_unless_the_stack_file_says_otherwise(tmp_path: Path) -> None:
    on_the_lab("lab/Pulumi.lab.yaml").up()
    assert yaml.safe_load(stack.FILE.read_text())["config"]["nginx-tracing:demo"] == {"enabled": True}
    stack.FILE.unlink()
    own = tmp_path / "Pulumi.own.yaml"
    own.write_text("config: {nginx-tracing:demo: {enabled: false}}")
    stack.Stack(Cluster("yours", "your cluster", str(own))).up()
    assert yaml.safe_load(stack.FILE.read_text())["config"]["nginx-tracing:demo"] == {"enabled": False}
