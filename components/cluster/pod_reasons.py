"""Finds the reasons for which pods are not Ready: in their conditions, containers, events and logs."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.cluster.api import Api
from components.cluster.api_objects import Object, labels, listed, section
from components.cluster.container_logs import ContainerLogs
from components.plan.labels import selector
from settings.stack import NAME_LABEL

FINAL_RESTARTS = 2
"""Our choice: a container that ended at its start and at as many restarts ends at every start."""

_NOT_STARTED = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
"""The reasons for which the kubelet does not start a container. Source: `pkg/kubelet/images` and
`pkg/kubelet/kuberuntime` of Kubernetes."""


@dataclass(frozen=True)
class Reason:
    """The reason for which a pod does not become Ready."""

    component: str
    what: str
    """The pod and its state, which may change from one look to the next."""
    why: str
    """The words of Kubernetes or of the container, which are the same in each look."""
    command: str
    """The command that tells more."""
    is_final: bool = False
    """Whether waiting longer would change nothing."""

    @property
    def headline(self) -> str:
        """The last line, in which a log gives the reason. Pulumi shows one line of a message until the update ends."""
        return (self.why.splitlines() or ["no reason is known"])[-1]

    @property
    def key(self) -> tuple[str, str]:
        """A key that is the same for the same reason, whatever times and process numbers are in it."""
        return self.component, re.sub(r"\d+", "", self.why)

    def __str__(self) -> str:
        said = "\n".join(f"    {line}" for line in self.why.splitlines())
        return f"  {self.what}:\n{said}\n    {self.command}"


class PodReasons:
    """Finds the reasons in one namespace.

    Args:
        namespace: the namespace.
        secrets: texts that it hides, whatever a log says.
    """

    def __init__(self, namespace: str, secrets: Sequence[str]) -> None:
        self._namespace = namespace
        self._logs = ContainerLogs(namespace, secrets)

    async def find(self, api: Api, selected: Mapping[str, str], *, logs_of_running: bool) -> list[Reason]:
        """Finds the reasons.

        Args:
            api: the API server.
            selected: the labels of the pods.
            logs_of_running: whether to read the logs of containers that run and are not Ready.

        Raises:
            ApiUnavailableError: the API server does not answer.
        """
        of_pods = selector(selected)
        path = f"/namespaces/{self._namespace}"
        pods, sets, events = await asyncio.gather(
            api.get(f"/api/v1{path}/pods", labelSelector=of_pods),
            api.get(f"/apis/apps/v1{path}/replicasets", labelSelector=of_pods),
            api.get(f"/api/v1{path}/events", fieldSelector="involvedObject.kind=StatefulSet,reason=FailedCreate"),
        )
        reasons = [reason for item in sets.items for reason in self._not_created(item)]
        components = {selected[NAME_LABEL]} if NAME_LABEL in selected else None
        newest = _newest(sets.items)
        reasons += self._not_created_of_sets(events.items, components)
        for pod in pods.items:
            of_set = labels(pod).get(_HASH)
            # Pods from before the edit may be broken as well, but Pulumi does not wait for them.
            is_old = of_set is not None and of_set != newest.get(str(labels(pod).get(NAME_LABEL)), of_set)
            if not is_old and not pod["metadata"].get("deletionTimestamp") and not _is_ready(pod):
                reasons += await self._of_pod(api, pod, logs_of_running=logs_of_running)
        # One pod stands for all pods with the same reason.
        return list({reason.key: reason for reason in reasons}.values())

    def _not_created(self, replica_set: Object) -> list[Reason]:
        failed = [
            item
            for item in listed(replica_set, "status", "conditions")
            if item.get("type") == "ReplicaFailure" and item.get("status") == "True"
        ]
        component = str(labels(replica_set).get(NAME_LABEL))
        command = f"kubectl --namespace {self._namespace} describe replicaset {replica_set['metadata']['name']}"
        # Kubernetes generates a new name for the pod in each attempt.
        return [
            Reason(component, "its pods cannot be created", _without_names(str(item.get("message"))), command)
            for item in failed
        ]

    def _not_created_of_sets(self, events: Sequence[Object], components: set[str] | None) -> list[Reason]:
        recent = [
            event
            for event in events
            if _is_recent(event) and (components is None or event["involvedObject"].get("name") in components)
        ]
        return [
            Reason(
                str(event["involvedObject"].get("name")),
                "its pods cannot be created",
                _without_names(str(event.get("message"))),
                f"kubectl --namespace {self._namespace} describe statefulset {event['involvedObject'].get('name')}",
            )
            for event in recent
        ]

    async def _of_pod(self, api: Api, pod: Object, *, logs_of_running: bool) -> list[Reason]:
        name, component = str(pod["metadata"]["name"]), str(labels(pod).get(NAME_LABEL))
        describe = f"kubectl --namespace {self._namespace} describe pod {name}"
        for condition in listed(pod, "status", "conditions"):
            if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
                why = f"Unschedulable: {condition.get('message')}"
                return [Reason(component, f"the pod {name} has no node", why, describe)]
        reasons: list[Reason] = []
        for container in listed(pod, "status", "containerStatuses"):
            waiting = section(container, "state", "waiting")
            if waiting.get("reason") in _NOT_STARTED:
                why = f"{_settled(str(waiting['reason']))}: {_without_ids(str(waiting.get('message') or ''))}"
                reasons.append(Reason(component, f"a container of the pod {name} does not start", why, describe))
            elif ended := _ended(container):
                reasons.append(await self._last_words(api, component, name, container, ended))
            elif logs_of_running and "running" in section(container, "state"):
                text = await self._logs.last_lines(api, name, str(container["name"]), previous=False)
                what = f"the pod {name} runs and does not answer its readiness probe; it said last"
                command = f"kubectl --namespace {self._namespace} logs {name}"
                reasons.append(Reason(component, what, text or "nothing", command))
        return reasons

    async def _last_words(self, api: Api, component: str, pod: str, container: Object, ended: Object) -> Reason:
        """Returns the reason that a container gave before it ended."""
        previous = "terminated" not in section(container, "state")
        text = await self._logs.last_lines(api, pod, str(container["name"]), previous=previous)
        status, restarts = ended.get("exitCode"), container.get("restartCount", 0)
        why = text or str(ended.get("message") or ended.get("reason") or f"exit code {status}")
        if ended.get("reason") == "OOMKilled":
            why = f"OOMKilled: it needs more memory than its limit allows\n{why}"
        option = " --previous" if previous else ""
        # Another program may still create a host name that NGINX does not find.
        is_final = restarts >= FINAL_RESTARTS and not re.search(r"host not found|could not be resolved", why)
        return Reason(
            component,
            f"the pod {pod} ended with exit code {status} and was restarted {restarts} times; it said last",
            why,
            f"kubectl --namespace {self._namespace} logs {pod}{option}",
            is_final,
        )


_HASH = "pod-template-hash"
_REVISION = "deployment.kubernetes.io/revision"


def _newest(replica_sets: Sequence[Object]) -> dict[str, str]:
    """Returns the hash of each component's newest ReplicaSet, by component."""
    newest: dict[str, tuple[int, str]] = {}
    for item in replica_sets:
        revision = int(section(item, "metadata", "annotations").get(_REVISION, "0"))
        component = str(labels(item).get(NAME_LABEL))
        newest[component] = max(newest.get(component, (0, "")), (revision, str(labels(item).get(_HASH))))
    return {component: of_pods for component, (_, of_pods) in newest.items()}


def _is_ready(pod: Object) -> bool:
    conditions = listed(pod, "status", "conditions")
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)


def _ended(container: Object) -> Object | None:
    """Returns the last failed end of a container, even if it runs again; none if it never failed."""
    ended = section(container, "state", "terminated") or section(container, "lastState", "terminated")
    return ended if ended.get("exitCode", 0) != 0 else None


def _is_recent(event: Object) -> bool:
    """Tells whether an event is from the last minute. Kubernetes keeps events for an hour."""
    at = str(event.get("lastTimestamp") or event.get("eventTime") or "")
    return at[:19] >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - 60))


def _settled(reason: str) -> str:
    """Returns one name for the two reasons that a container's state alternates between."""
    return "ImagePullBackOff" if reason == "ErrImagePull" else reason


def _without_names(text: str) -> str:
    """Returns a message about a pod that Kubernetes did not create, without the pod's generated name."""
    return re.sub(r'^(create Pod \S+ in StatefulSet \S+ failed error: )?pods "[^"]*" is forbidden: ', "", text)


def _without_ids(text: str) -> str:
    """Returns a message about a container without its pod's name, so that two pods' messages are equal."""
    return re.sub(r'(in|for) pod "?[\w.-]+_[\w.()-]+"?', "", text).strip()
