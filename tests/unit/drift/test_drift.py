"""`python -m tools drift` with a `pulumi` and a `kubectl` that answer anything.

`tests/lab/test_previews.py` has the real ones.
"""

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.plan.objects import CLAIM, NAMESPACED_KINDS
from tests.unit.pull_request.making import Object, preview, step
from tools.__main__ import main

CONTENTS = "apiVersion: v1\nkind: Config\nusers: [{user: {token: hidden}}]"
NAMESPACE = step("refresh", "Namespace", old={"metadata": {"name": "tracing"}})
LEFT = {"kind": "ConfigMap", "metadata": {"name": "tempo-config-0a1b2c3d"}}
REFUSED = "the server is currently unable to handle the request"


def stateful_set(name: str, volume: str, replicas: int | None, *, found: int | None = None) -> Object:
    """A StatefulSet as Pulumi left it, and with as many replicas as the refresh found."""

    def inputs(count: int | None) -> Object:
        templates = [{"metadata": {"name": volume}}]
        spec = {"volumeClaimTemplates": templates} | ({} if count is None else {"replicas": count})
        return {"metadata": {"name": name, "namespace": "tracing"}, "spec": spec}

    new = inputs(replicas if found is None else found)
    return step("refresh", "StatefulSet", old=inputs(replicas), new=new)


def deleted(one: Object) -> Object:
    """A step on an object that the refresh did not find."""
    return {key: value for key, value in one.items() if key != "newState"} | {"op": "delete"}


def claims(*names: str) -> list[Object]:
    """Claims of volumes, as the cluster lists them."""
    return [{"kind": "PersistentVolumeClaim", "metadata": {"name": name}} for name in names]


@dataclass(frozen=True)
class Programs:
    """A `pulumi` and a `kubectl` on PATH, which keep what they were asked."""

    folder: Path

    def pulumi(self, text: str, code: int = 0, error: str = "", config_error: str = "") -> None:
        """What `pulumi refresh` answers, and `pulumi config get` of what is not configured; nothing is under way."""
        config_error = config_error or "error: configuration key '$3' not found for stack 'dev'"
        (self.folder / "answer").write_text(text)
        self.under_way()
        self._program(
            "pulumi",
            f"""
            [ "$1" = stack ] && exec cat {self.folder}/state
            if [ -f "{self.folder}/later" ] && [ "$1" = refresh ] && [ -f {self.folder}/asked-pulumi ]; then
                exec cat {self.folder}/later
            fi
            if [ "$1" = config ]; then
                [ -f "{self.folder}/$3" ] && exec cat "{self.folder}/$3"
                echo "{config_error}" >&2
                exit 1
            fi
            echo "$@" >{self.folder}/asked-pulumi
            cat {self.folder}/answer
            echo "{error}" >&2
            exit {code}
            """,
        )

    def later(self, text: str) -> None:
        """What `pulumi refresh` answers from the second time on."""
        (self.folder / "later").write_text(text)

    def under_way(self, **operations: str) -> None:
        """What Pulumi's state has under way, by the objects' names."""
        urns = {name: f"urn:pulumi:dev::nginx-tracing::kubernetes:apps/v1:Deployment::{name}" for name in operations}
        pending = [{"resource": {"urn": urns[name]}, "type": kind} for name, kind in operations.items()]
        state: Object = {"version": 3, "deployment": {"pending_operations": pending} if pending else {}}
        (self.folder / "state").write_text(json.dumps(state))

    def configuration(self, **values: str) -> None:
        """The Kubernetes provider's part of the stack's configuration."""
        for key, value in values.items():
            (self.folder / f"kubernetes:{key}").write_text(f"{value}\n")

    def kubectl(self, items: Iterable[Object] = (), error: str = "", current: str = "lab") -> None:
        """What `kubectl get` and `kubectl config current-context` answer."""
        (self.folder / "items").write_text(json.dumps({"items": list(items)}))
        self._program(
            "kubectl",
            f"""
            for word; do case "$word" in --kubeconfig=*)
                file="${{word#--kubeconfig=}}"
                echo "$file" >{self.folder}/kubeconfig
                if [ -f "$file" ]; then cp -p "$file" {self.folder}/kept; fi
            esac; done
            if [ "$1" = config ]; then
                [ -n "{current}" ] && echo "{current}" && exit
                exit 1
            fi
            case "$2" in podmonitors.*)
                [ -f {self.folder}/monitors ] && exec cat {self.folder}/monitors
                echo 'error: the server doesn'"'"'t have a resource type "podmonitors"' >&2
                exit 1
            esac
            echo "$@" >{self.folder}/asked-kubectl
            echo "$KUBECONFIG" >{self.folder}/environment
            [ -n "{error}" ] && echo "{error}" >&2 && exit 1
            cat {self.folder}/items
            """,
        )

    def operator(self, items: Iterable[Object]) -> None:
        """What `kubectl get` answers of the Prometheus Operator's kinds; without it, that there are none."""
        (self.folder / "monitors").write_text(json.dumps({"items": list(items)}))

    def kept(self, name: str) -> str:
        """What a program wrote down."""
        return (self.folder / name).read_text().removesuffix("\n")

    def _program(self, name: str, text: str) -> None:
        program = self.folder / name
        program.write_text(f"#!/bin/sh\n{text}")
        program.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Programs that find nothing, in a cluster without anything."""
    made = Programs(tmp_path / "bin")
    made.folder.mkdir()
    made.pulumi(json.dumps(preview(NAMESPACE)))
    made.kubectl()
    monkeypatch.setenv("PATH", f"{made.folder}:/usr/bin:/bin")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    (tmp_path / "temporary").mkdir()
    # Python has decided on a folder by now: TMPDIR would be too late.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return made


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The report."""
    assert main(["drift"]) == 1
    return capsys.readouterr().out.splitlines()


def test_no_drift_is_said_and_nothing_is_changed_for_it(programs: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drift", "--stack", "dev"]) == 0
    assert capsys.readouterr().out == "No object drifted.\n"
    assert programs.kept("asked-pulumi").split() == [
        *("refresh", "--preview-only", "--run-program", "--json", "--non-interactive", "--stack", "dev")
    ]


def test_what_a_second_look_does_not_find_was_an_update_s_work(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.pulumi(json.dumps(preview(NAMESPACE, deleted(stateful_set("tempo", "data", 1)))))
    programs.later(json.dumps(preview(NAMESPACE)))
    assert main(["drift"]) == 0
    assert capsys.readouterr().out == "No object drifted.\n"


def test_while_an_update_is_under_way_nothing_is_called_drift(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.kubectl([LEFT])
    programs.under_way(nginx="updating", tempo="creating")
    assert main(["drift", "--stack", "dev"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "under way, or was killed, at Deployment nginx; nothing is known of drift" in said.err
    assert said.err.endswith("After one that was killed: pulumi up --stack dev\n")


def test_what_pulumi_remembers_as_being_made_is_said_before_what_may_be_its_work(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.kubectl([LEFT])
    programs.under_way(tempo="creating")
    assert lines(capsys)[2:6] == [
        "Pulumi remembers these as being made: Deployment tempo.",
        "If an update is under way, what follows may be its work: look again when it has ended.",
        "If one was killed, after what follows: pulumi refresh --clear-pending-creates",
        "",
    ]


def test_what_cannot_be_determined_is_no_success(programs: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    errors = [{"message": "error: this is not the stack's cluster", "severity": "error"}] * 2
    programs.pulumi(json.dumps(preview() | {"diagnostics": errors}), code=1)
    assert main(["drift"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("this is not the stack's cluster") == 1
    programs.pulumi("no JSON", code=0)
    assert main(["drift"]) == 2
    programs.pulumi("", code=6, error="error: no stack named 'nope' found")
    assert main(["drift"]) == 2
    assert "error: no stack named 'nope' found" in capsys.readouterr().err


def test_a_missing_pulumi_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["drift"]) == 2
    assert "`pulumi` was not found" in capsys.readouterr().err


def test_a_missing_kubectl_is_named(
    programs: Programs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The PATH of the machine may have a kubectl.
    (programs.folder / "kubectl").unlink()
    (programs.folder / "cat").symlink_to("/bin/cat")
    monkeypatch.setenv("PATH", str(programs.folder))
    assert main(["drift"]) == 2
    assert capsys.readouterr().err == (
        "error: `kubectl` was not found: it lists what Pulumi does not know. Put it on PATH.\n"
    )


def test_what_pulumi_does_not_know_is_named_with_the_context_and_the_command_that_removes_it(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.kubectl([LEFT])
    assert lines(capsys) == [
        "Drift in the cluster of the context lab.",
        "",
        "Labelled as the stack's and not known to Pulumi, 1; to remove them:",
        "kubectl delete configmap tempo-config-0a1b2c3d --namespace tracing",
    ]
    assert "--context" not in programs.kept("asked-kubectl")


def test_a_kubeconfig_without_a_current_context_is_said(programs: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    programs.kubectl([LEFT], current="")
    assert lines(capsys)[0] == "Drift in the cluster of the kubeconfig, which has no current context."


def test_the_configured_context_is_looked_at_and_is_in_the_commands(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.configuration(context="admin's own")
    programs.kubectl([LEFT])
    assert lines(capsys) == [
        "Drift in the cluster of the context admin's own.",
        "",
        "Labelled as the stack's and not known to Pulumi, 1; to remove them:",
        "kubectl delete configmap tempo-config-0a1b2c3d --namespace tracing --context 'admin'\"'\"'s own'",
    ]
    assert "--context=admin's own" in programs.kept("asked-kubectl")


def test_a_configured_path_of_a_kubeconfig_is_looked_at_and_is_in_the_commands(
    programs: Programs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/some one")
    programs.configuration(context="prod", kubeconfig="~/prod.yaml")
    programs.kubectl([LEFT])
    assert lines(capsys)[-1] == (
        "kubectl delete configmap tempo-config-0a1b2c3d --namespace tracing --context prod "
        "--kubeconfig '/home/some one/prod.yaml'"
    )
    assert programs.kept("kubeconfig") == "/home/some one/prod.yaml"


def test_without_a_configured_kubeconfig_kubectl_reads_the_several_files_of_the_environment(
    programs: Programs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/one:/two")
    programs.kubectl([LEFT])
    assert lines(capsys)[-1] == "kubectl delete configmap tempo-config-0a1b2c3d --namespace tracing"
    assert programs.kept("environment") == "/one:/two"
    assert "--kubeconfig" not in programs.kept("asked-kubectl")


@pytest.mark.parametrize("contents", [CONTENTS, '{"kind": "Config", "users": [{"user": {"token": "hidden"}}]}'])
def test_configured_contents_of_a_kubeconfig_are_in_a_private_file_while_kubectl_runs_and_nowhere_else(
    programs: Programs, capsys: pytest.CaptureFixture[str], contents: str
) -> None:
    programs.configuration(kubeconfig=contents)
    programs.kubectl([LEFT, *claims("queue-otel-collector-0")])
    assert lines(capsys) == [
        "Drift in the cluster of the context lab.",
        "",
        "Labelled as the stack's and not known to Pulumi, 1; to remove them, with the kubeconfig of the stack's "
        "configuration:",
        "kubectl delete configmap tempo-config-0a1b2c3d --namespace tracing",
        "",
        "Claims of volumes that no replica uses, 1. They may hold spans that were never sent (otel-collector) or "
        "traces (tempo);",
        "a replica that comes back takes up its own again. To remove them for good, with what they hold, with the "
        "kubeconfig of the stack's configuration:",
        "kubectl delete persistentvolumeclaim queue-otel-collector-0 --namespace tracing",
    ]
    assert programs.kept("kept") == contents
    assert (programs.folder / "kept").stat().st_mode & 0o777 == 0o600
    assert not Path(programs.kept("kubeconfig")).exists()


def test_an_error_of_kubectl_leaves_no_file_with_a_kubeconfig_and_shows_none(
    programs: Programs, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    programs.configuration(kubeconfig=CONTENTS)
    programs.kubectl(error=REFUSED)
    assert main(["drift"]) == 2
    said = capsys.readouterr()
    asked = shlex.join(["kubectl", *programs.kept("asked-kubectl").split()])
    assert (said.out, said.err) == ("", f"error: `{asked}` exited with 1.\n{REFUSED}\n")
    assert programs.kept("kept") == CONTENTS
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_configuration_that_cannot_be_read_is_not_taken_for_none(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.pulumi(json.dumps(preview(NAMESPACE)), config_error="error: incorrect passphrase")
    assert main(["drift"]) == 2
    assert capsys.readouterr().err == (
        "error: `pulumi config get kubernetes:kubeconfig` exited with 1.\nerror: incorrect passphrase\n"
    )
    assert not (programs.folder / "asked-kubectl").exists()


def test_claims_that_no_replica_uses_are_named_with_what_they_may_hold(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    # Two replicas are left of three, and Tempo has no StatefulSet any more.
    programs.configuration(context="prod")
    programs.pulumi(json.dumps(preview(NAMESPACE, stateful_set("otel-collector", "queue", 2))))
    programs.kubectl(claims(*(f"queue-otel-collector-{ordinal}" for ordinal in range(3)), "data-tempo-0"))
    assert lines(capsys) == [
        "Drift in the cluster of the context prod.",
        "",
        "Claims of volumes that no replica uses, 2. They may hold spans that were never sent (otel-collector) or "
        "traces (tempo);",
        "a replica that comes back takes up its own again. To remove them for good, with what they hold:",
        "kubectl delete persistentvolumeclaim queue-otel-collector-2 --namespace tracing --context prod",
        "kubectl delete persistentvolumeclaim data-tempo-0 --namespace tracing --context prod",
    ]
    assert programs.kept("asked-kubectl").split()[1].split(",")[-1] == "persistentvolumeclaims"


def test_every_kind_that_the_program_makes_is_looked_for(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ("HorizontalPodAutoscaler", "ServiceAccount", "Role", "RoleBinding")
    programs.kubectl([{"kind": kind, "metadata": {"name": "left"}} for kind in kinds])
    programs.operator([{"kind": "PodMonitor", "metadata": {"name": "left"}}])
    assert [line.split()[2] for line in lines(capsys) if line.startswith("kubectl")] == [
        *("horizontalpodautoscaler", "serviceaccount", "role", "rolebinding", "podmonitor")
    ]
    asked = programs.kept("asked-kubectl").split()[1].split(",")
    assert asked == [kind.resource for kind in (*NAMESPACED_KINDS, CLAIM) if kind.is_builtin]


def test_what_another_stack_of_the_program_marked_is_not_this_one_s_drift(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    def left(name: str, **annotations: str) -> Object:
        return {"kind": "ConfigMap", "metadata": {"name": name, "annotations": annotations or None}}

    own, other = {"nginx-tracing/stack": "nginx-tracing/test"}, {"nginx-tracing/stack": "nginx-tracing/prod"}
    programs.kubectl([left("own", **own), left("other", **other), left("of-the-version-before")])
    assert [line.split()[3] for line in lines(capsys) if line.startswith("kubectl")] == ["own", "of-the-version-before"]


def test_a_stack_without_a_namespace_of_its_own_is_looked_at_where_its_objects_are(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.pulumi(json.dumps(preview(stateful_set("tempo", "data", 1))))
    programs.kubectl([LEFT])
    assert lines(capsys)[-1] == "kubectl delete configmap tempo-config-0a1b2c3d --namespace tracing"
    programs.pulumi(json.dumps(preview()))
    assert main(["drift"]) == 0


def test_an_operator_s_kinds_that_cannot_be_listed_are_no_success(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    program = (programs.folder / "kubectl").read_text()
    (programs.folder / "kubectl").write_text(program.replace("the server doesn", "podmonitors is forbidden, doesn"))
    assert main(["drift"]) == 2
    assert "podmonitors is forbidden" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("left", "found"),
    [
        pytest.param(2, 2, id="as Pulumi left it"),
        pytest.param(1, 2, id="scaled up by hand"),
        pytest.param(2, 0, id="scaled down by hand"),
    ],
)
def test_claims_in_use_are_no_drift(programs: Programs, left: int, found: int) -> None:
    steps = stateful_set("otel-collector", "queue", left, found=found), stateful_set("tempo", "data", None)
    programs.pulumi(json.dumps(preview(NAMESPACE, *steps)))
    programs.kubectl(claims("queue-otel-collector-0", "queue-otel-collector-1", "data-tempo-0"))
    assert main(["drift"]) == 0


def test_claims_of_a_stateful_set_that_somebody_deleted_are_in_use(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.pulumi(json.dumps(preview(NAMESPACE, deleted(stateful_set("tempo", "data", 1)))))
    programs.kubectl(claims("data-tempo-0"))
    said = lines(capsys)
    assert "StatefulSet tempo of NginxOtel is gone" in said
    assert not any("persistentvolumeclaim" in line for line in said)


def test_a_stateful_set_of_another_namespace_uses_no_claim_of_this_one(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    other = step("refresh", "Namespace", old={"metadata": {"name": "alone"}})
    programs.pulumi(json.dumps(preview(NAMESPACE, other, stateful_set("tempo", "data", 1))))
    programs.kubectl(claims("data-tempo-0"))
    assert [line for line in lines(capsys) if line.startswith("kubectl")] == [
        "kubectl delete persistentvolumeclaim data-tempo-0 --namespace alone"
    ]
