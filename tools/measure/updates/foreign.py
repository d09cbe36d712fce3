"""Counts foreign objects, which a stack could take over, before and after `pulumi up` and `pulumi destroy`."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from components.plan.objects import CLAIM, NAMESPACED_KINDS, STACK_ANNOTATION
from settings.errors import PROJECT
from tools.lab_stack import Stack
from tools.measure.faults.inject import free_volumes, must
from tools.measure.results import Result

Snapshot = dict[tuple[str, str], tuple[str, str]]
"""The UID and the resource version of each object, by kind and name. Any write changes the resource version."""

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
"""Foreign objects. They run no pod and bind no volume, so that only a write changes an object."""


def create_foreign(namespace: str, *names: str) -> None:
    """Creates a namespace with foreign objects.

    Args:
        namespace: is created.
        names: of the objects, `web` by default.
    """
    must("create", "namespace", namespace)
    for name in names or ("web",):
        must("apply", f"--namespace={namespace}", "--filename=-", text=_OBJECTS.format(name=name))
    for name in names or ("web",):
        # The controller writes the status once, and must not do so between two snapshots.
        must("rollout", "status", f"deployment/{name}", f"--namespace={namespace}", "--timeout=60s")


def snapshot(namespace: str) -> Snapshot:
    """Returns the versions of a namespace and of everything in it but events and pods."""
    kinds = ",".join(kind.resource for kind in (*NAMESPACED_KINDS, CLAIM) if kind.is_builtin)
    listed = json.loads(must("get", kinds, f"--namespace={namespace}", "--output=json"))["items"]
    listed.append(json.loads(must("get", "namespace", namespace, "--output=json")))
    return {
        (item["kind"], item["metadata"]["name"]): (item["metadata"]["uid"], item["metadata"]["resourceVersion"])
        for item in listed
    }


def untouched(stack: Stack, show: Callable[[str], None]) -> Result:
    """Counts the foreign objects that `pulumi preview`, `up` and `destroy` leave untouched.

    The program must refuse each command in two namespaces: in a foreign one, whose objects have other names and the
    stack's names, and in the stack's own one, which has foreign objects of the stack's names. `up` must succeed in a
    foreign namespace that the stack shares by `createNamespace: false`.

    Args:
        stack: an empty stack, which is empty again at the end.
        show: is given a line of progress for each namespace.
    """
    count = _Count()
    for place, mark in (("a foreign namespace", False), ("the stack's own namespace", True)):
        show(place)
        create_foreign(stack.namespace, "web", "tempo", "nginx")
        if mark:
            must("annotate", "namespace", stack.namespace, f"{STACK_ANNOTATION}={PROJECT}/{stack.name}")
        before = snapshot(stack.namespace)
        for command in (("preview",), ("up", "--yes", "--skip-preview")):
            if stack.pulumi(*command).returncode == 0:
                count.problems.append(f"{place}: {command[0]} was not refused")
        stack.must("destroy", "--yes", "--skip-preview")
        count.compare(place, before, snapshot(stack.namespace))
        must("delete", "namespace", stack.namespace)
    show(place := "a foreign namespace, shared")
    configuration = stack.folder / f"Pulumi.{stack.name}.yaml"
    unshared = configuration.read_text()
    stack.configure({"createNamespace": "false"})
    create_foreign(stack.namespace, "web", "shop")
    before = snapshot(stack.namespace)
    stack.up()
    count.compare(place, before, snapshot(stack.namespace))
    stack.must("destroy", "--yes", "--skip-preview")
    after = snapshot(stack.namespace)
    count.compare(place, before, after)
    # Kubernetes keeps the claims of a StatefulSet, whose volumes may hold spans that were never sent.
    left = [" ".join(name) for name in after if name not in before and name[0] != CLAIM.name]
    count.problems += [f"{place}: {name} is left" for name in left]
    must("delete", "namespace", stack.namespace)
    configuration.write_text(unshared)
    free_volumes()
    return Result(
        "foreign objects left untouched by `up` and `destroy`, in three namespaces",
        "all",
        f"{count.all - count.touched} of {count.all}",
        bool(count.all) and not count.touched and not count.problems,
        {"problems": "; ".join(count.problems)},
    )


@dataclass
class _Count:
    """Counts compared objects, and lists what is wrong."""

    all: int = 0
    touched: int = 0
    problems: list[str] = field(default_factory=list[str])

    def compare(self, place: str, before: Snapshot, after: Snapshot) -> None:
        """Compares each earlier object with its later version."""
        changed = [" ".join(name) for name in before if after.get(name) != before[name]]
        self.all += len(before)
        self.touched += len(changed)
        self.problems += [f"{place}: {name} was touched" for name in changed]
