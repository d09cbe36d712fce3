"""Tells why pods do not become Ready: while `pulumi up` waits for them, and in its error.

The provider waits without a message, and gives up without the reason. The program reads the stack's own pods, their
conditions, and the last lines of containers that ended.
"""

import asyncio
import contextvars
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import pulumi

from components.cluster.api import Answer, Api
from components.cluster.api_objects import section
from components.cluster.kubeconfig import ApiUnavailableError
from components.cluster.pod_reasons import PodReasons, Reason
from components.plan.labels import PART_OF, own_labels

FIRST_LOOK_SECONDS = 8.0
"""By then the pods of a successful update are Ready or pull their images, and most programs have ended."""

INTERVAL_SECONDS = 4.0
LIFETIME_SECONDS = 1800.0
"""Our choice: no update takes longer. A program of the Automation API lives on, and the watch must end."""

ATTEMPT_SECONDS = 100
"""How long the provider waits before it calls the hook. By then the kubelet has restarted a container that ends at its
start three times: it waits 10, 20 and 40 s. A shorter time would give more failed attempts. The engine (3.259) keeps
the error of an attempt in the state even if the next one succeeds, and the next preview then shows an update of
nothing."""

ATTEMPTS = 3
"""Three attempts take five minutes, in which a slow line pulls the images."""

DRAIN_SECONDS = 45
"""When `pulumi up` says what it waits for. A pod with little to send has ended by then: clients take 27 s to leave."""

REPLACED_INTERVAL_SECONDS = 1.0
"""Our choice: `pulumi up` ends within a second of the last pod's readiness."""


class Rollouts:
    """Watches the pods of a stack while Pulumi deploys it.

    Args:
        namespace: the stack's namespace.
        secrets: texts that it hides, whatever a log says.
        kubeconfig: the path or the contents; none for the default file.
        context: none for the current one.
        waits_again: whether the provider may wait for a workload again. It creates the workload again for that, which
            an API server only takes by server-side apply.
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
        self._reasons = PodReasons(namespace, secrets)
        self._kubeconfig = kubeconfig
        self._context = context
        self._waits_again = waits_again
        self._told: set[tuple[str, str]] = set()

    def start(self) -> None:
        """Starts a thread that warns once of each reason for which pods are not Ready, until the program ends."""
        # The SDK keeps the engine's address in a context variable.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._watch,), name="rollouts", daemon=True).start()

    def error_hook(self, name: str, component: str) -> pulumi.ErrorHook:
        """Returns a hook that tells why a component's pods are not Ready after its workload failed.

        It lets the provider wait again, for five minutes in all, unless waiting changes nothing: a configuration that
        NGINX does not load fails after one attempt.

        Args:
            name: the name of the workload's resource.
            component: the component whose pods they are.
        """

        async def explain(failed: pulumi.ErrorHookArgs) -> bool:
            if failed.failed_operation == "delete":
                return False
            reasons = await self._found(component, logs_of_running=True)
            is_final = _is_final(reasons)
            # Other errors than a time-out are answers of the API server, or an interrupt.
            if self._waits_again and not is_final and "timed out" in failed.errors[0] and len(failed.errors) < ATTEMPTS:
                return True
            if reasons:
                pulumi.log.error(_explained(component, reasons))
            return False

        return pulumi.ErrorHook(f"{name}-not-ready", explain)

    async def replaced(
        self,
        component: str,
        stateful_set: pulumi.CustomResource,
        selects: str | None = None,
        drain_seconds: int = 0,
    ) -> pulumi.CustomResource:
        """Waits until Kubernetes has replaced the pods of a StatefulSet, and returns the StatefulSet.

        The Kubernetes provider (4.25.0) does not look whether the status that it reads is newer than the update, so it
        ends with the old pods' readiness (pulumi/pulumi-kubernetes#3329, #4094).

        Args:
            component: the component, whose name the StatefulSet has.
            stateful_set: the resource, which the provider has created or updated.
            selects: the name whose labels select its pods; none for the component's.
            drain_seconds: how long a pod may take to send what it holds, before the next one starts.

        Raises:
            pulumi.RunError: no pod became Ready for five minutes after such a time, or for the time of one attempt if
                waiting changes nothing. The message has the pods' reasons.
        """
        most, since, is_told = -1, time.monotonic(), False
        while True:
            rollout = await self._rollout(component)
            if rollout.is_complete:
                return stateful_set
            if rollout.ready > most:
                most, since = rollout.ready, time.monotonic()
            waited = time.monotonic() - since
            if drain_seconds and waited >= DRAIN_SECONDS and not is_told:
                is_told = True
                pulumi.log.info(
                    f"{component}: a pod that is replaced sends what it holds first, for at most "
                    f"{drain_seconds} s. {rollout.state}"
                )
            if waited >= ATTEMPT_SECONDS:
                reasons = await self._found(selects or component, logs_of_running=True)
                if _is_final(reasons) or waited >= ATTEMPT_SECONDS * ATTEMPTS + drain_seconds:
                    raise pulumi.RunError(_explained(component, reasons) if reasons else rollout.state)
            await asyncio.sleep(REPLACED_INTERVAL_SECONDS)

    async def _rollout(self, component: str) -> "_Rollout":
        path = f"/apis/apps/v1/namespaces/{self._namespace}/statefulsets/{component}"
        try:
            async with Api(self._kubeconfig, self._context) as api:
                return _Rollout.of(component, await api.get(path))
        except ApiUnavailableError as error:
            return _Rollout(state=f"{component} is not known to be Ready: {error}")

    @property
    def timeout(self) -> str:
        """How long the provider waits for a workload before it calls the hook."""
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
                # A reason that two looks find is no moment on the way to Ready.
                if key in before and key not in self._told:
                    self._told.add(key)
                    try:
                        pulumi.log.warn(f"{reason.component} is not Ready yet: {reason.headline}\n{reason}")
                    except Exception:  # The engine has ended, and takes no more messages.
                        return
            before = seen
            time.sleep(INTERVAL_SECONDS)

    async def _found(self, component: str | None, *, logs_of_running: bool = False) -> list[Reason]:
        """Returns the reasons of one component's pods, or of all; none if the API server does not answer."""
        selected = own_labels(component) if component else PART_OF
        try:
            async with Api(self._kubeconfig, self._context) as api:
                return await self._reasons.find(api, selected, logs_of_running=logs_of_running)
        except ApiUnavailableError:
            return []


@dataclass(frozen=True)
class _Rollout:
    """How far Kubernetes has replaced the pods of a StatefulSet."""

    state: str
    """A sentence about it."""
    ready: int = 0
    """The number of new pods that are Ready, or of all pods that are."""
    is_complete: bool = False

    @classmethod
    def of(cls, component: str, answer: Answer) -> Self:
        """Reads it from the API server's answer, as `kubectl rollout status` does."""
        if not answer.is_ok:
            return cls(state=f"{component} is not known to be Ready: {answer.message}")
        spec, status = section(answer.body, "spec"), section(answer.body, "status")
        wanted = int(spec.get("replicas", 1))
        updated, ready = int(status.get("updatedReplicas", 0)), int(status.get("readyReplicas", 0))
        is_seen = int(status.get("observedGeneration", 0)) >= int(answer.body["metadata"]["generation"])
        return cls(
            state=f"{component} does not become Ready: {updated} of {wanted} pods are replaced, and {ready} are Ready",
            ready=min(updated, ready),
            is_complete=is_seen and min(updated, ready) >= wanted,
        )


def _is_final(reasons: Sequence[Reason]) -> bool:
    return any(reason.is_final for reason in reasons)


def _explained(component: str, reasons: Sequence[Reason]) -> str:
    return "\n".join([f"{component} does not become Ready: {reasons[0].headline}", *map(str, reasons)])
