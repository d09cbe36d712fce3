"""Reads the pods' logs and metrics through the API server, so that no pod needs an address outside the cluster."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from components.plan.labels import own_labels, selector
from tools.cluster import Access, ClusterApi, ClusterError

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Pod:
    """A pod and its containers, by name."""

    name: str
    containers: tuple[str, ...]


class StackPods:
    """The pods of a stack's namespace.

    Raises:
        ClusterError: there is no kubeconfig, or it cannot be used.
    """

    def __init__(self, namespace: str, access: Access) -> None:
        self._api = ClusterApi(access)
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._namespace = namespace

    def close(self) -> None:
        """Closes the connections."""
        self._api.close()

    def of(self, component: str) -> list[Pod]:
        """Returns the running pods of a component, which its label app.kubernetes.io/name names.

        Raises:
            ClusterError: they cannot be listed, or there is none.
        """
        labels = selector(own_labels(component))
        listed = self._api.get(self._path, labelSelector=labels, fieldSelector="status.phase=Running")
        pods = [
            Pod(item["metadata"]["name"], tuple(container["name"] for container in item["spec"]["containers"]))
            for item in listed["items"]
        ]
        if not pods:
            raise ClusterError(
                f"no running pod has the labels {labels} in the namespace {self._namespace}; "
                "is the kubeconfig's context the cluster of this stack? (--context)"
            )
        return pods

    def has(self, component: str) -> bool:
        """Tells whether a component has running pods, as far as they can be listed."""
        try:
            return bool(self.of(component))
        except ClusterError:
            return False

    def read_each(self, component: str, read: Callable[[Pod], _Read]) -> tuple[dict[str, _Read], dict[str, str]]:
        """Reads every pod of a component; a pod that cannot be read hides no other.

        Returns:
            By the pods' names, the results, and the reasons of those that could not be read.

        Raises:
            ClusterError: the pods cannot be listed, or there is none.
        """
        found: dict[str, _Read] = {}
        unreadable: dict[str, str] = {}
        for pod in self.of(component):
            try:
                found[pod.name] = read(pod)
            except ClusterError as error:
                unreadable[pod.name] = str(error)
        return found, unreadable

    def metrics(self, pod: Pod, port: int) -> str:
        """Returns a pod's metrics in the Prometheus text format.

        Raises:
            ClusterError: the API server does not reach them or does not let them be read.
        """
        return self._api.text(f"{self._path}/{pod.name}:{port}/proxy/metrics")

    def log_lines(self, pod: Pod, last_seconds: int) -> Iterator[str]:
        """Yields the lines that a pod logged in the last seconds, container by container.

        Raises:
            ClusterError: the API server does not let them be read.
        """
        for container in pod.containers:
            yield from self._api.lines(
                f"{self._path}/{pod.name}/log", container=container, sinceSeconds=str(last_seconds)
            )
