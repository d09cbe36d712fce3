"""Objects of somebody else that a stack could take over, counted before and after `pulumi up` and `pulumi destroy`."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from components.plan.objects import CLAIM, NAMESPACED_KINDS, STACK_ANNOTATION
from lab.stack import Stack
from settings.errors import PROJECT
from tools.measure.reliability.faults import free_volumes, must
from tools.measure.reliability.figures import Figure

Snapshot = dict[tuple[str, str], tuple[str, str]]
"""The UID and the resource version of each object, by kind and name: any write changes the second."""

_OBJECTS = """\
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: {name}, image: "registry.example/{name}:1"}}]}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}}}
data: {{key: value}}
---
apiVersion: v1
kind: Secret
metadata: {{name: {name}}}
stringData: {{key: value}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {name}}}
spec: {{accessModes: [ReadWriteOnce], storageClassName: none, resources: {{requests: {{storage: 1Gi}}}}}}
"""
"""What somebody has; no pod of it runs, and no volume is bound, so that nothing but a write changes an object."""


def somebody_s(namespace: str, *names: str) -> None:
    """Makes a namespace with objects of somebody else, `web` unless they are named."""
    must("create", "namespace", namespace)
    for name in names or ("web",):
        must("apply", f"--namespace={namespace}", "--filename=-", text=_OBJECTS.format(name=name))
    for name in names or ("web",):
        # The controller writes a status once.
        must("rollout", "status", f"deployment/{name}", f"--namespace={namespace}", "--timeout=60s")


def snapshot(namespace: str) -> Snapshot:
    """Everything in a namespace that is no event and no pod, and the namespace itself."""
    kinds = ",".join(kind.resource for kind in (*NAMESPACED_KINDS, CLAIM) if kind.is_builtin)
    listed = json.loads(must("get", kinds, f"--namespace={namespace}", "--output=json"))["items"]
    listed.append(json.loads(must("get", "namespace", namespace, "--output=json")))
    return {
        (item["kind"], item["metadata"]["name"]): (item["metadata"]["uid"], item["metadata"]["resourceVersion"])
        for item in listed
    }


def untouched(stack: Stack, show: Callable[[str], None]) -> Figure:
    """Counts the objects of somebody else that `pulumi preview`, `up` and `destroy` leave as they are.

    Where each command is refused: in a namespace that is somebody else's, with objects of other names and of the
    stack's own; and in one of the stack's own, in which somebody has objects of its names. Where `up` succeeds: in
    somebody's namespace that `createNamespace: false` uses. The stack is to be empty, and is at the end.
    """
    count = _Count()
    for place, mark in (("somebody's namespace", False), ("the stack's own namespace", True)):
        show(place)
        somebody_s(stack.namespace, "web", "tempo", "nginx")
        if mark:
            must("annotate", "namespace", stack.namespace, f"{STACK_ANNOTATION}={PROJECT}/{stack.name}")
        before = snapshot(stack.namespace)
        for command in (("preview",), ("up", "--yes", "--skip-preview")):
            if stack.pulumi(*command).returncode == 0:
                count.message.append(f"{place}: {command[0]} was not refused")
        stack.must("destroy", "--yes", "--skip-preview")
        count.compare(place, before, snapshot(stack.namespace))
        must("delete", "namespace", stack.namespace)
    show(place := "somebody's namespace, shared")
    configuration = stack.folder / f"Pulumi.{stack.name}.yaml"
    unshared = configuration.read_text()
    stack.configure({"createNamespace": "false"})
    somebody_s(stack.namespace, "web", "shop")
    before = snapshot(stack.namespace)
    stack.up()
    count.compare(place, before, snapshot(stack.namespace))
    stack.must("destroy", "--yes", "--skip-preview")
    after = snapshot(stack.namespace)
    count.compare(place, before, after)
    # Kubernetes keeps the claims of a StatefulSet, which may hold what was never sent.
    left = [" ".join(name) for name in after if name not in before and name[0] != CLAIM.name]
    count.message += [f"{place}: {name} is left" for name in left]
    must("delete", "namespace", stack.namespace)
    configuration.write_text(unshared)
    free_volumes()
    return Figure(
        "objects of somebody else untouched by `up` and `destroy`, in three namespaces",
        "all",
        f"{count.all - count.touched} of {count.all}",
        bool(count.all) and not count.touched and not count.message,
        {"wrong": "; ".join(count.message)},
    )


@dataclass
class _Count:
    """The objects that were looked at, and those that were not as before."""

    all: int = 0
    touched: int = 0
    message: list[str] = field(default_factory=list[str])

    def compare(self, place: str, before: Snapshot, after: Snapshot) -> None:
        """Counts each object of before."""
        changed = [" ".join(name) for name in before if after.get(name) != before[name]]
        self.all += len(before)
        self.touched += len(changed)
        self.message += [f"{place}: {name} was touched" for name in changed]
