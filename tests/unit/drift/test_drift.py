"""`python -m tools drift` with a `pulumi` and an API server that answer anything.

`tests/lab/test_previews.py` has the real ones.
"""

import itertools
import json
from collections.abc import Generator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import yaml

from components.plan.objects import CLAIM, NAMESPACED_KINDS, POD, POD_MONITOR
from tests.unit.fake_api import FakeApi, Said, listed, refused, serving
from tests.unit.pull_request.making import Object, preview, step
from tools.__main__ import main

NAMESPACE = step("refresh", "Namespace", old={"metadata": {"name": "tracing"}})
LEFT = {"kind": "ConfigMap", "metadata": {"name": "tempo-config-0a1b2c3d"}}


def stateful_set(name: str, volume: str, replicas: int | None, *, found: int | None = None) -> Object:
    """Returns a StatefulSet as Pulumi left it, with as many replicas as the refresh found."""

    def inputs(count: int | None) -> Object:
        templates = [{"metadata": {"name": volume}}]
        spec = {"volumeClaimTemplates": templates} | ({} if count is None else {"replicas": count})
        return {"metadata": {"name": name, "namespace": "tracing"}, "spec": spec}

    new = inputs(replicas if found is None else found)
    return step("refresh", "StatefulSet", old=inputs(replicas), new=new)


def deleted(one: Object) -> Object:
    """Returns a step on an object that the refresh did not find."""
    return {key: value for key, value in one.items() if key != "newState"} | {"op": "delete"}


def claims(*names: str) -> list[Object]:
    """Returns claims of volumes as the cluster lists them."""
    return [{"kind": "PersistentVolumeClaim", "metadata": {"name": name}} for name in names]


ALL_KINDS = (*NAMESPACED_KINDS, CLAIM)


@dataclass
class Stack:
    """A `pulumi` on PATH that keeps its arguments, and the API server of the stack's cluster."""

    folder: Path
    api: FakeApi
    items: list[Object] = field(default_factory=list[Object])
    """The objects with the program's label, in the namespace `tracing` and any other."""

    lacks: set[str] = field(default_factory=set[str])
    """Kinds that the cluster does not know."""

    def __post_init__(self) -> None:
        for kind, namespace in itertools.product((*ALL_KINDS, POD), ("tracing", "alone")):
            self.api.answers[f"GET {kind.path(namespace)}"] = partial(self._list, kind.name)

    def _list(self, kind: str, query: dict[str, list[str]], _: Object) -> Said:
        assert query == {"labelSelector": ["app.kubernetes.io/part-of=nginx-tracing"]}
        if kind in self.lacks:
            return refused(404, "the server could not find the requested resource")
        return listed(*(item for item in self.items if item["kind"] == kind))

    def pulumi(self, text: str, code: int = 0, error: str = "", config_error: str = "") -> None:
        """Sets the answer of `pulumi refresh`, and the error of `pulumi config`, if any; nothing is under way."""
        (self.folder / "answer").write_text(text)
        self.under_way()
        program = self.folder / "pulumi"
        program.write_text(
            f"""#!/bin/sh
            shift 2
            [ "$1" = stack ] && exec cat {self.folder}/state
            if [ -f "{self.folder}/later" ] && [ "$1" = refresh ] && [ -f {self.folder}/asked ]; then
                exec cat {self.folder}/later
            fi
            if [ "$1" = config ]; then
                [ -n "{config_error}" ] && echo "{config_error}" >&2 && exit 1
                [ "$2" = get ] && exec cat "{self.folder}/$3"
                exec cat {self.folder}/config
            fi
            echo "$@" >{self.folder}/asked
            cat {self.folder}/answer
            echo "{error}" >&2
            exit {code}
            """
        )
        program.chmod(0o755)

    def later(self, text: str) -> None:
        """Sets the answer of `pulumi refresh` from the second time on."""
        (self.folder / "later").write_text(text)

    def under_way(self, **operations: str) -> None:
        """Sets the operations that Pulumi's state has under way, by the objects' names."""
        urns = {name: f"urn:pulumi:dev::nginx-tracing::kubernetes:apps/v1:Deployment::{name}" for name in operations}
        pending = [{"resource": {"urn": urns[name]}, "type": kind} for name, kind in operations.items()]
        state: Object = {"version": 3, "deployment": {"pending_operations": pending} if pending else {}}
        (self.folder / "state").write_text(json.dumps(state))

    def configuration(self, *, secret: bool = False, **values: str) -> None:
        """Sets the Kubernetes provider's part of the stack's configuration."""
        shown: dict[str, Object] = {}
        for key, value in values.items():
            (self.folder / f"kubernetes:{key}").write_text(f"{value}\n")
            shown[f"kubernetes:{key}"] = {"secret": True} if secret else {"value": value, "secret": False}
        (self.folder / "config").write_text(json.dumps(shown))

    @property
    def asked(self) -> str:
        """The last `pulumi refresh`."""
        return (self.folder / "asked").read_text().strip()


def kubeconfig(api: FakeApi, current: str | None = "lab") -> str:
    """Returns a kubeconfig of the API server with several contexts."""
    document = yaml.safe_load(api.kubeconfig)
    names = ("lab", "admin's own", "prod")
    document["contexts"] = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in names]
    document["current-context"] = current
    return yaml.safe_dump(document)


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Stack]:
    """A stack without drift, in a cluster without objects, which KUBECONFIG leads to."""
    folder = tmp_path / "bin"
    folder.mkdir()
    with serving(FakeApi({})) as api:
        made = Stack(folder, api, lacks={"PodMonitor"})
        made.pulumi(json.dumps(preview(NAMESPACE)))
        made.configuration()
        (tmp_path / "kubeconfig").write_text(kubeconfig(api))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        yield made


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Returns the lines of the report."""
    assert main(["drift"]) == 1
    return capsys.readouterr().out.splitlines()


def test_no_drift_is_said_and_nothing_is_changed_for_it(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drift", "--stack", "dev"]) == 0
    assert capsys.readouterr().out == "No object drifted.\n"
    assert stack.asked == "refresh --preview-only --run-program --json --stack dev"


def test_what_a_second_look_does_not_find_was_an_update_s_work(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.pulumi(json.dumps(preview(NAMESPACE, deleted(stateful_set("tempo", "data", 1)))))
    stack.later(json.dumps(preview(NAMESPACE)))
    assert main(["drift"]) == 0
    assert capsys.readouterr().out == "No object drifted.\n"


def test_while_an_update_is_under_way_nothing_is_called_drift(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    stack.items = [LEFT]
    stack.under_way(nginx="updating", tempo="creating")
    assert main(["drift", "--stack", "dev"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "under way, or was killed, at Deployment nginx; nothing is known of drift" in said.err
    assert said.err.endswith("After one that was killed: pulumi up --stack dev\n")


def test_what_pulumi_lists_as_being_created_is_said_before_what_may_be_its_work(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.items = [LEFT]
    stack.under_way(tempo="creating")
    assert lines(capsys)[2:6] == [
        "Pulumi's state lists these as being created: Deployment tempo.",
        "If an update is under way, the findings below may be its work: look again when it has ended.",
        "If an update was killed, remove what is named below first, then: pulumi refresh --clear-pending-creates",
        "",
    ]


def test_what_cannot_be_determined_is_no_success(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    errors = [{"message": "error: this is not the stack's cluster", "severity": "error"}] * 2
    stack.pulumi(json.dumps(preview() | {"diagnostics": errors}), code=1)
    assert main(["drift"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("this is not the stack's cluster") == 1
    stack.pulumi("no JSON", code=0)
    assert main(["drift"]) == 2
    stack.pulumi("", code=6, error="error: no stack named 'nope' found")
    assert main(["drift"]) == 2
    assert "error: no stack named 'nope' found" in capsys.readouterr().err


def test_a_missing_pulumi_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["drift"]) == 2
    assert "`pulumi` was not found" in capsys.readouterr().err


def test_what_pulumi_does_not_know_is_named_with_the_context_and_the_command_that_removes_it(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.items = [LEFT]
    assert lines(capsys) == [
        "Drift in the cluster of the context lab.",
        "",
        "Orphans, labelled as the stack's and not known to Pulumi: 1; to remove them:",
        "kubectl delete configmap tempo-config-0a1b2c3d --namespace tracing",
    ]


def test_the_configured_context_is_asked_and_is_in_the_commands(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.configuration(context="admin's own")
    stack.items = [LEFT]
    assert lines(capsys) == [
        "Drift in the cluster of the context admin's own.",
        "",
        "Orphans, labelled as the stack's and not known to Pulumi: 1; to remove them:",
        "kubectl delete configmap tempo-config-0a1b2c3d --namespace tracing --context 'admin'\"'\"'s own'",
    ]


def test_the_configured_kubeconfig_is_read_instead_of_the_environment_s_and_is_in_the_commands(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "some one").mkdir()
    file = tmp_path / "some one" / "prod.yaml"
    file.write_text(kubeconfig(stack.api))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "of-another-cluster"))
    monkeypatch.setenv("HOME", str(tmp_path / "some one"))
    stack.configuration(kubeconfig="~/prod.yaml", context="prod")
    stack.items = [LEFT]
    assert lines(capsys)[-1] == (
        f"kubectl delete configmap tempo-config-0a1b2c3d --namespace tracing --context prod --kubeconfig '{file}'"
    )


def test_without_a_configured_kubeconfig_the_several_files_of_the_environment_are_read(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}:{tmp_path / 'kubeconfig'}")
    stack.items = [LEFT]
    assert lines(capsys)[-1] == "kubectl delete configmap tempo-config-0a1b2c3d --namespace tracing"


@pytest.mark.parametrize("is_secret", [True, False])
def test_configured_contents_of_a_kubeconfig_are_used_and_never_shown(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, is_secret: bool
) -> None:
    monkeypatch.setenv("KUBECONFIG", "of-another-cluster")
    stack.configuration(secret=is_secret, kubeconfig=kubeconfig(stack.api, "prod"))
    stack.items = [LEFT, *claims("queue-otel-collector-0")]
    assert lines(capsys) == [
        "Drift in the cluster of the context prod.",
        "",
        "Orphans, labelled as the stack's and not known to Pulumi: 1; to remove them, with the kubeconfig of the "
        "stack's configuration:",
        "kubectl delete configmap tempo-config-0a1b2c3d --namespace tracing",
        "",
        "Claims of volumes that no replica uses: 1. They may hold spans that were never sent (otel-collector) or "
        "traces (tempo);",
        "a replica that comes back uses its own claim again. To remove them for good, with what they hold, with the "
        "kubeconfig of the stack's configuration:",
        "kubectl delete persistentvolumeclaim queue-otel-collector-0 --namespace tracing",
    ]
    assert stack.api.authorized == {"Bearer t"}


def test_an_api_server_that_refuses_is_no_success_and_no_kubeconfig_is_shown(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.configuration(secret=True, kubeconfig=kubeconfig(stack.api))
    stack.api.answers["GET /api/v1/namespaces/tracing/secrets"] = refused(403, "secrets is forbidden")
    assert main(["drift"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "",
        "error: the secrets of the namespace tracing cannot be listed: the API server answers HTTP 403: "
        "secrets is forbidden\n",
    )


def test_a_kubeconfig_without_a_current_context_is_no_success(
    stack: Stack, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "kubeconfig").write_text(kubeconfig(stack.api, None))
    assert main(["drift"]) == 2
    assert "error: no usable kubeconfig: " in capsys.readouterr().err


def test_a_configuration_that_cannot_be_read_is_not_taken_for_an_empty_one(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.pulumi(json.dumps(preview(NAMESPACE)), config_error="error: incorrect passphrase")
    assert main(["drift"]) == 2
    assert capsys.readouterr().err == ("error: `pulumi config --json` exited with 1.\nerror: incorrect passphrase\n")
    assert stack.api.asked == []


def test_claims_that_no_replica_uses_are_named_with_what_they_may_hold(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    # Two replicas are left of three, and Tempo has no StatefulSet any more.
    stack.configuration(context="prod")
    stack.pulumi(json.dumps(preview(NAMESPACE, stateful_set("otel-collector", "queue", 2))))
    stack.items = claims(*(f"queue-otel-collector-{ordinal}" for ordinal in range(3)), "data-tempo-0")
    assert lines(capsys) == [
        "Drift in the cluster of the context prod.",
        "",
        "Claims of volumes that no replica uses: 2. They may hold spans that were never sent (otel-collector) or "
        "traces (tempo);",
        "a replica that comes back uses its own claim again. To remove them for good, with what they hold:",
        "kubectl delete persistentvolumeclaim queue-otel-collector-2 --namespace tracing --context prod",
        "kubectl delete persistentvolumeclaim data-tempo-0 --namespace tracing --context prod",
        "",
        "To send what the volumes of otel-collector hold, make 3 replicas until `otelcol_exporter_queue_size` is 0:",
        "pulumi config set --path collector.replicas 3 && pulumi up",
        "pulumi config set --path collector.replicas 2 && pulumi up",
    ]


def test_the_volumes_of_deciders_are_sent_by_as_many_deciders(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    decider = "otel-collector-decider"
    stack.pulumi(json.dumps(preview(NAMESPACE, stateful_set(decider, "queue", 2))))
    stack.items = claims(f"queue-{decider}-2")
    assert lines(capsys)[-3:] == [
        f"To send what the volumes of {decider} hold, make 3 replicas until `otelcol_exporter_queue_size` is 0:",
        "pulumi config set --path collector.sampling.tail.replicas 3 && pulumi up",
        "pulumi config set --path collector.sampling.tail.replicas 2 && pulumi up",
    ]


def test_the_claim_of_a_collector_that_still_sends_what_its_volume_holds_is_no_drift(stack: Stack) -> None:
    stack.pulumi(json.dumps(preview(NAMESPACE, stateful_set("otel-collector", "queue", 2))))
    stack.items = [
        *claims(*(f"queue-otel-collector-{ordinal}" for ordinal in range(3))),
        {"kind": "Pod", "metadata": {"name": "otel-collector-2"}},
    ]
    assert main(["drift"]) == 0


def test_claims_that_an_autoscaler_s_next_pods_use_are_named_and_are_no_drift(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    target = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "otel-collector"}
    scaler: Object = {
        "metadata": {"name": "otel-collector", "namespace": "tracing"},
        "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4},
    }
    steps = stateful_set("otel-collector", "queue", 2), step("refresh", "HorizontalPodAutoscaler", old=scaler)
    stack.pulumi(json.dumps(preview(NAMESPACE, *steps)))
    stack.items = claims(*(f"queue-otel-collector-{ordinal}" for ordinal in range(4)))
    assert main(["drift"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "No object drifted.",
        "",
        "Claims of volumes that the autoscaler's next pods use: queue-otel-collector-2, queue-otel-collector-3. They "
        "hold what their pods could not send before they ended, if anything. The next pods send it.",
    ]
    stack.items += claims("queue-otel-collector-4")
    said = lines(capsys)
    assert "kubectl delete persistentvolumeclaim queue-otel-collector-4 --namespace tracing" in said
    assert not any("delete" in line and "collector-3" in line for line in said)


def test_every_kind_that_the_program_makes_is_looked_for(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = ("ServiceAccount", "HorizontalPodAutoscaler", "Role", "RoleBinding", "PodMonitor")
    stack.lacks = set()
    stack.items = [{"kind": kind, "metadata": {"name": "left"}} for kind in kinds]
    assert [line.split()[2] for line in lines(capsys) if line.startswith("kubectl")] == [
        *("serviceaccount", "horizontalpodautoscaler", "role", "rolebinding", "podmonitor")
    ]
    asked = {question.removeprefix("GET ").partition("?")[0] for question in stack.api.asked}
    assert asked == {kind.path("tracing") for kind in ALL_KINDS}


def test_what_another_stack_of_the_program_marked_is_not_this_one_s_drift(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    def left(name: str, **annotations: str) -> Object:
        return {"kind": "ConfigMap", "metadata": {"name": name, "annotations": annotations or None}}

    own, other = {"nginx-tracing/stack": "nginx-tracing/test"}, {"nginx-tracing/stack": "nginx-tracing/prod"}
    stack.items = [left("own", **own), left("other", **other), left("of-the-version-before")]
    assert [line.split()[3] for line in lines(capsys) if line.startswith("kubectl")] == ["own", "of-the-version-before"]


def test_a_stack_without_a_namespace_of_its_own_is_looked_at_where_its_objects_are(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.pulumi(json.dumps(preview(stateful_set("tempo", "data", 1))))
    stack.items = [LEFT]
    assert lines(capsys)[-1] == "kubectl delete configmap tempo-config-0a1b2c3d --namespace tracing"
    stack.pulumi(json.dumps(preview()))
    assert main(["drift"]) == 0


def test_an_operator_s_kinds_that_cannot_be_listed_are_no_success(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    path = POD_MONITOR.path("tracing")
    stack.api.answers[f"GET {path}"] = refused(403, "podmonitors is forbidden")
    assert main(["drift"]) == 2
    assert "podmonitors is forbidden" in capsys.readouterr().err


def test_a_kind_of_kubernetes_that_the_cluster_does_not_know_is_no_success(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.lacks = {"HorizontalPodAutoscaler"}
    assert main(["drift"]) == 2
    assert "the horizontalpodautoscalers of the namespace tracing cannot be listed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("left", "found"),
    [
        pytest.param(2, 2, id="as Pulumi left it"),
        pytest.param(1, 2, id="scaled up by hand"),
        pytest.param(2, 0, id="scaled down by hand"),
    ],
)
def test_claims_in_use_are_no_drift(stack: Stack, left: int, found: int) -> None:
    steps = stateful_set("otel-collector", "queue", left, found=found), stateful_set("tempo", "data", None)
    stack.pulumi(json.dumps(preview(NAMESPACE, *steps)))
    stack.items = claims("queue-otel-collector-0", "queue-otel-collector-1", "data-tempo-0")
    assert main(["drift"]) == 0


def test_claims_of_a_stateful_set_that_somebody_deleted_are_in_use(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.pulumi(json.dumps(preview(NAMESPACE, deleted(stateful_set("tempo", "data", 1)))))
    stack.items = claims("data-tempo-0")
    said = lines(capsys)
    assert "StatefulSet tempo of NginxOtel is gone" in said
    assert not any("persistentvolumeclaim" in line for line in said)


def test_a_stateful_set_of_another_namespace_uses_no_claim_of_this_one(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    other = step("refresh", "Namespace", old={"metadata": {"name": "alone"}})
    stack.pulumi(json.dumps(preview(NAMESPACE, other, stateful_set("tempo", "data", 1))))
    stack.items = claims("data-tempo-0")
    assert [line for line in lines(capsys) if line.startswith("kubectl")] == [
        "kubectl delete persistentvolumeclaim data-tempo-0 --namespace alone"
    ]
