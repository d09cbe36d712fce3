"""The arguments of `up`, `down`, `pulumi` and `preview`."""

import pytest

from tools.pulumi_cli import PulumiCli
from tools.quickstart import clusters, command, ephemeral, stack


@pytest.mark.parametrize(
    ("arguments", "passed"),
    [
        ("", "dev"),
        ("staging", "staging"),
        ("staging --diff --policy-pack policy", "staging --diff --policy-pack policy"),
    ],
)
def test_a_preview_passes_on_what_is_pulumi_s(arguments: str, passed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def preview(name: str, others: list[str]) -> int:
        calls.append(" ".join([name, *others]))
        return 0

    monkeypatch.setattr(ephemeral, "preview", preview)
    assert command.preview(arguments.split()) == 0
    assert calls == [passed]


def test_pulumi_gets_every_flag_but_a_first_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = clusters.Cluster(source="yours", description="a cluster", stack_file="")
    calls: list[list[str]] = []

    def show(_: PulumiCli, *arguments: str, may_ask: bool) -> int:
        assert may_ask
        calls.append(list(arguments))
        return 3

    def environment(_: clusters.Cluster) -> dict[str, str]:
        return {}

    monkeypatch.setattr(clusters, "saved", lambda: cluster)
    monkeypatch.setattr(stack, "environment", environment)
    monkeypatch.setattr(PulumiCli, "show", show)
    assert command.pulumi(["--version"]) == 3
    assert command.pulumi(["up", "--help"]) == 3
    assert calls == [["--version"], ["up", "--help"]]
    with pytest.raises(SystemExit) as ended:
        command.pulumi(["--help"])
    assert ended.value.code == 0
    assert "the stack that `up` made" in capsys.readouterr().out


@pytest.mark.parametrize("function", [command.up, command.down])
def test_up_and_down_refuse_arguments(function: command.Command) -> None:
    with pytest.raises(SystemExit) as ended:
        function(["--stack", "dev"])
    assert ended.value.code == 2
