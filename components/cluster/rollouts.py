"""Tells why pods do not become Ready: while `pulumi up` waits for them, and in its error.

The provider waits without a word, and gives up without the reason. What is read is the stack's own: its pods, their
conditions and the last lines of containers that ended.
"""

import asyncio
import contextvars
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import pulumi
from pydantic import BaseModel, SecretStr

from components.cluster.api import Api
from components.cluster.api_objects import Object, labels, listed, section
from components.cluster.kubeconfig import ApiUnavailableError
from components.plan.labels import PART_OF, own_labels
from settings.stack import NAME_LABEL

FIRST_LOOK_SECONDS = 8.0
"""By then the pods of an update that goes well are Ready, or are pulling their images: most programs have ended."""

INTERVAL_SECONDS = 4.0
LIFETIME_SECONDS = 1800.0
"""An update takes no longer; a program that lives on, as one of the Automation API's, is not watched for ever."""

ATTEMPT_SECONDS = 100
"""How long the provider waits before the hook looks. A container that ends at its start has been restarted three times
by then: kubelet waits 10, 20 and 40 s. Not less: the engine (3.259) keeps the error of an attempt in the state even if
the next one succeeds, so that the following preview shows an update of nothing."""

ATTEMPTS = 3
"""Five minutes, which pull the images on a slow line."""

FINAL_RESTARTS = 2
"""Restarts after which a container that ends at its start is taken to end at every start."""

LINES = 15
"""The last lines of a container that ended. NGINX, the Collector and Tempo give their reason in the last one or two."""

_SHOWN = 2000
"""Characters of them: one line of a log may be as long as a request."""

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
"""Reasons for which kubelet does not start a container: `pkg/kubelet/images` and `pkg/kubelet/kuberuntime`."""


@dataclass(frozen=True)
class Reason:
    """Why a pod does not become Ready."""

    component: str
    what: str
    """The pod and its state, which may change from one look to the next."""
    why: str
    """What Kubernetes or the container says of it; the same in each look."""
    command: str
    """Tells more."""
    is_final: bool = False
    """Whether waiting longer would change nothing."""

    @property
    def headline(self) -> str:
        """Its last line, where a log says why it ends: Pulumi shows one line of a message before the update is over."""
        return (self.why.splitlines() or ["no reason is known"])[-1]

    @property
    def key(self) -> tuple[str, str]:
        """The same for the same reason, whatever times and numbers of processes are in it."""
        return self.component, re.sub(r"\d+", "", self.why)

    def __str__(self) -> str:
        said = "\n".join(f"    {line}" for line in self.why.splitlines())
        return f"  {self.what}:\n{said}\n    {self.command}"


class Rollouts:
    """Watches the pods of a stack while it is deployed.

    Args:
        namespace: the stack's.
        secrets: texts that are never shown, whatever a log says.
        kubeconfig: the path or the contents; none for the default file.
        context: none for the current one.
        waits_again: whether a workload may be waited for again. It is created again for that, which only an API server
            that applies objects takes.
    """

    def __init__(
        self,
        namespace: str,
        secrets: Sequence[str],
        *,
        kubeconfig: str | None,
        context: str | None,
        waits_again: bool = True,
    ) -> None:
        self._namespace = namespace
        # A part of a secret tells as well: NGINX quotes single words of a line that it cannot read.
        words = {word for secret in secrets for word in (secret, *secret.split()) if len(word) >= 6}
        self._secrets = sorted(words, key=len, reverse=True)
        self._kubeconfig = kubeconfig
        self._context = context
        self._waits_again = waits_again
        self._told: set[tuple[str, str]] = set()

    def start(self) -> None:
        """Warns once of each reason for which pods are not Ready, for as long as the program runs."""
        # The engine's address is in the context of whoever runs the program.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._watch,), name="rollouts", daemon=True).start()

    def error_hook(self, name: str, component: str) -> pulumi.ErrorHook:
        """A hook that says why a component's pods are not Ready when its workload failed.

        It has the provider wait again, for five minutes in all, unless waiting changes nothing: a configuration that
        NGINX does not load fails after one attempt.

        Args:
            name: the workload's resource.
            component: whose pods they are.
        """

        async def explain(failed: pulumi.ErrorHookArgs) -> bool:
            if failed.failed_operation == "delete":
                return False
            reasons = await self._found(component, logs_of_running=True)
            is_final = any(reason.is_final for reason in reasons)
            # Anything else than a time-out is an answer of the API server's, or an interrupt.
            if self._waits_again and not is_final and "timed out" in failed.errors[0] and len(failed.errors) < ATTEMPTS:
                return True
            if reasons:
                head = f"{component} does not become Ready: {reasons[0].headline}"
                pulumi.log.error("\n".join([head, *map(str, reasons)]))
            return False

        return pulumi.ErrorHook(f"{name}-not-ready", explain)

    @property
    def timeout(self) -> str:
        """How long the provider waits for a workload before the hook looks."""
        return f"{ATTEMPT_SECONDS if self._waits_again else ATTEMPT_SECONDS * ATTEMPTS}s"

    def _watch(self) -> None:
        end = time.monotonic() + LIFETIME_SECONDS
        time.sleep(FIRST_LOOK_SECONDS)
        before: set[tuple[str, str]] = set()
        while time.monotonic() < end:
            reasons = asyncio.run(self._found(None))
            seen = {reason.key for reason in reasons}
            for reason in reasons:
                key = reason.key
                # What holds for two looks is no moment on the way to Ready.
                if key in before and key not in self._told:
                    self._told.add(key)
                    try:
                        pulumi.log.warn(f"{reason.component} is not Ready yet: {reason.headline}\n{reason}")
                    except Exception:  # The engine is gone, and with it whoever could be told.
                        return
            before = seen
            time.sleep(INTERVAL_SECONDS)

    async def _found(self, component: str | None, *, logs_of_running: bool = False) -> list[Reason]:
        """Why pods are not Ready, of one component or of all; none where the cluster does not tell."""
        selected = own_labels(component) if component else PART_OF
        try:
            async with Api(self._kubeconfig, self._context) as api:
                return await self._reasons(api, selected, logs_of_running=logs_of_running)
        except ApiUnavailableError:
            return []

    async def _reasons(self, api: Api, selected: dict[str, str], *, logs_of_running: bool) -> list[Reason]:
        selector = ",".join(f"{key}={value}" for key, value in selected.items())
        path = f"/namespaces/{self._namespace}"
        pods, sets, events = await asyncio.gather(
            api.get(f"/api/v1{path}/pods", labelSelector=selector),
            api.get(f"/apis/apps/v1{path}/replicasets", labelSelector=selector),
            api.get(f"/api/v1{path}/events", fieldSelector="involvedObject.kind=StatefulSet,reason=FailedCreate"),
        )
        reasons = [reason for item in sets.items for reason in self._not_created(item)]
        components = {selected[NAME_LABEL]} if NAME_LABEL in selected else None
        newest = _newest(sets.items)
        reasons += self._not_created_of_sets(events.items, components)
        for pod in pods.items:
            of_set = labels(pod).get(_HASH)
            # Pods of before an edit may be broken as well; they are not what is waited for.
            is_old = of_set is not None and of_set != newest.get(str(labels(pod).get(NAME_LABEL)), of_set)
            if not is_old and not pod["metadata"].get("deletionTimestamp") and not _is_ready(pod):
                reasons += await self._of_pod(api, pod, logs_of_running=logs_of_running)
        # One pod stands for all that have the same reason.
        return list({reason.key: reason for reason in reasons}.values())

    def _not_created(self, replica_set: Object) -> list[Reason]:
        failed = [
            item
            for item in listed(replica_set, "status", "conditions")
            if item.get("type") == "ReplicaFailure" and item.get("status") == "True"
        ]
        component = str(labels(replica_set).get(NAME_LABEL))
        command = f"kubectl --namespace {self._namespace} describe replicaset {replica_set['metadata']['name']}"
        # Kubernetes makes up a new pod's name in each attempt.
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
                text = await self._log(api, name, str(container["name"]), previous=False)
                what = f"the pod {name} runs and does not answer its readiness probe; it said last"
                command = f"kubectl --namespace {self._namespace} logs {name}"
                reasons.append(Reason(component, what, text or "nothing", command))
        return reasons

    async def _last_words(self, api: Api, component: str, pod: str, container: Object, ended: Object) -> Reason:
        """What a container said before it ended."""
        previous = "terminated" not in section(container, "state")
        text = await self._log(api, pod, str(container["name"]), previous=previous)
        status, restarts = ended.get("exitCode"), container.get("restartCount", 0)
        why = text or str(ended.get("message") or ended.get("reason") or f"exit code {status}")
        if ended.get("reason") == "OOMKilled":
            why = f"OOMKilled: it needs more memory than its limit allows\n{why}"
        option = " --previous" if previous else ""
        # A name that another program has yet to make may come while this one is waited for.
        is_final = restarts >= FINAL_RESTARTS and not re.search(r"host not found|could not be resolved", why)
        return Reason(
            component,
            f"the pod {pod} ended with exit code {status} and was restarted {restarts} times; it said last",
            why,
            f"kubectl --namespace {self._namespace} logs {pod}{option}",
            is_final,
        )

    async def _log(self, api: Api, pod: str, container: str, *, previous: bool) -> str:
        """The last lines of a container, without secrets."""
        text = await api.text(
            f"/api/v1/namespaces/{self._namespace}/pods/{pod}/log",
            container=container,
            tailLines=str(LINES),
            **({"previous": "true"} if previous else {}),
        )
        return self._clean(text or "")

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        lines = [_without_time(line) for line in text.splitlines() if line.strip()]
        # NGINX says in these why it ends; the lines before are its entry script's.
        errors = [line for line in lines if "[emerg]" in line]
        return "\n".join(dict.fromkeys(errors or lines))[-_SHOWN:]


def secrets_of(settings: BaseModel) -> list[str]:
    """Every secret in a configuration, as plain text."""
    return list(_secrets_in(settings))


def _secrets_in(value: object) -> Sequence[str]:
    if isinstance(value, SecretStr):
        return [value.get_secret_value()]
    if isinstance(value, BaseModel):
        return [text for name in type(value).model_fields for text in _secrets_in(getattr(value, name))]
    if isinstance(value, dict):
        return [text for item in cast("dict[str, object]", value).values() for text in _secrets_in(item)]
    if isinstance(value, list | tuple):
        return [text for item in cast("Sequence[object]", value) for text in _secrets_in(item)]
    return []


_HASH = "pod-template-hash"
_REVISION = "deployment.kubernetes.io/revision"


def _newest(replica_sets: Sequence[Object]) -> dict[str, str]:
    """The hash of each component's newest ReplicaSet, by component."""
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
    """How a container ended that is not running, or is running after an end: none of one that never failed."""
    ended = section(container, "state", "terminated") or section(container, "lastState", "terminated")
    return ended if ended.get("exitCode", 0) != 0 else None


def _is_recent(event: Object) -> bool:
    """Whether an event is of the last minute: Kubernetes keeps them for an hour."""
    at = str(event.get("lastTimestamp") or event.get("eventTime") or "")
    return at[:19] >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - 60))


def _settled(reason: str) -> str:
    """One name for the two that a container's state goes back and forth between."""
    return "ImagePullBackOff" if reason == "ErrImagePull" else reason


def _without_names(text: str) -> str:
    """A message about a pod that was not created, without its generated name."""
    return re.sub(r'^(create Pod \S+ in StatefulSet \S+ failed error: )?pods "[^"]*" is forbidden: ', "", text)


def _without_ids(text: str) -> str:
    """A message about a container, without the pod that repeats in it: "Back-off pulling image" of each pod."""
    return re.sub(r'(in|for) pod "?[\w.-]+_[\w.()-]+"?', "", text).strip()


def _without_time(line: str) -> str:
    """A line of NGINX's log without its time, so that the same is told once."""
    return re.sub(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ", "", line)
