"""A preview on an ephemeral cluster: the configuration that it uses, and the clusters that it removes."""

from pathlib import Path

import pytest

from tools.errors import ToolError
from tools.quickstart import clusters
from tools.quickstart.ephemeral import configuration


@pytest.fixture(autouse=True)
def _no_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)


def write(folder: Path, text: str) -> Path:
    file = folder / "Pulumi.staging.yaml"
    file.write_text(text)
    return file


def test_the_stack_s_own_cluster_is_left_out_and_all_else_kept(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "encryptionsalt: v1:abc\n"
        "config: {nginx-tracing:cluster: 'https://a', kubernetes:context: b, nginx-tracing:edition: oss}\n",
    )
    assert configuration(file) == {"config": {"nginx-tracing:edition": "oss"}}


def test_a_stack_without_a_file_is_refused_with_those_that_have_one() -> None:
    with pytest.raises(ToolError, match=r"no Pulumi\.nowhere\.yaml\. Stacks with a file: .*dev, .*staging"):
        configuration(Path("Pulumi.nowhere.yaml"))


@pytest.mark.parametrize("value", ["{secure: AAA}", "{headers: [{api-key: {secure: AAA}}]}"])
def test_secrets_that_cannot_be_read_are_named_with_what_to_do(value: str, tmp_path: Path) -> None:
    config = f"config: {{nginx-tracing:registryPassword: {value}}}\n"
    with pytest.raises(ToolError, match=r"registryPassword\.\n.*\n.*change-secrets-provider passphrase"):
        configuration(write(tmp_path, config))
    with pytest.raises(ToolError, match=r"registryPassword\): export PULUMI_CONFIG_PASSPHRASE_FILE"):
        configuration(write(tmp_path, "encryptionsalt: v1:abc\n" + config))


@pytest.mark.parametrize(("ran", "removed"), [(True, []), (False, ["lab"])])
def test_a_lab_is_removed_though_it_was_not_made_to_its_end_unless_it_ran_before(
    ran: bool,
    removed: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone: list[str] = []
    monkeypatch.setenv("PATH", "")
    running = [ran]
    monkeypatch.setattr(clusters, "lab_is_running", lambda: running[0])

    def make() -> clusters.Cluster:
        running[0] = True
        raise ToolError("The images were not pushed.")

    monkeypatch.setattr(clusters, "_lab", make)

    def remove(cluster: clusters.Cluster) -> None:
        gone.append(cluster.source)

    monkeypatch.setattr(clusters, "remove", remove)
    with pytest.raises(ToolError, match="not pushed"), clusters.ephemeral_cluster():
        pass
    assert gone == removed
