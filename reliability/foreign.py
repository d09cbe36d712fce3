"""Objects of somebody else that a stack could take over, counted before and after `pulumi up` and `pulumi destroy`."""

import json
from collections.abc import Callable

from components.objects import CLAIM, NAMESPACED_KINDS, STACK_ANNOTATION
from lab.stack import Stack
from reliability.faults import must
from reliability.figures import Figure
from settings.mistakes import PROJECT

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
    """Counts the objects that `pulumi preview`, `up` and `destroy` leave as they are, where each command is refused.

    In a namespace that is somebody else's, with objects of other names and of the stack's own; then in one of the
    stack's own, in which somebody has objects of its names. The stack is to be empty, and is at the end.
    """
    touched, accepted, count = list[str](), list[str](), 0
    for place, mark in (("somebody's namespace", False), ("the stack's own namespace", True)):
        show(place)
        somebody_s(stack.namespace, "web", "tempo", "nginx")
        if mark:
            must("annotate", "namespace", stack.namespace, f"{STACK_ANNOTATION}={PROJECT}/{stack.name}")
        before = snapshot(stack.namespace)
        for command in (("preview",), ("up", "--yes", "--skip-preview")):
            if stack.pulumi(*command).returncode == 0:
                accepted.append(f"{place}: {command[0]}")
        stack.must("destroy", "--yes", "--skip-preview")
        after = snapshot(stack.namespace)
        count += len(before)
        touched += [f"{place}: {' '.join(name)}" for name in before if after.get(name) != before[name]]
        touched += [f"{place}: {' '.join(name)} is new" for name in after if name not in before]
        must("delete", "namespace", stack.namespace)
    details = {"touched": ", ".join(touched), "not refused": ", ".join(accepted)}
    return Figure(
        "objects of somebody else untouched by `up` and `destroy`",
        "all",
        f"{count - len(touched)} of {count}",
        bool(count) and not touched and not accepted,
        {**details},
    )
