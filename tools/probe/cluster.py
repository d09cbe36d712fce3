"""The pods' logs and metrics, read through the API server: they need no address of their own outside the cluster."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

PART_OF = "nginx-tracing"


class ClusterError(Exception):
    """The cluster's API does not give what was asked; the text says why."""


@dataclass(frozen=True)
class Pod:
    """A pod and its containers, by name."""

    name: str
    containers: tuple[str, ...]


class Cluster:
    """The stack's namespace in the cluster that a context of the kubeconfig names: the current one by default.

    The kubeconfig is the one that KUBECONFIG names, or the user's own, unless a file is given.

    Raises:
        ClusterError: there is no kubeconfig, or it cannot be used.
    """

    def __init__(self, namespace: str, context: str | None, kubeconfig: Path | None = None) -> None:
        # Imported here because it takes half a second that a probe without a kubeconfig need not spend.
        import httpx2  # noqa: PLC0415
        import yaml  # noqa: PLC0415
        from lightkube import KubeConfig  # noqa: PLC0415
        from lightkube.config.client_adapter import Client, ConnectionParams  # noqa: PLC0415

        self._http_error = httpx2.HTTPError
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._namespace = namespace
        try:
            config = (KubeConfig.from_file(kubeconfig) if kubeconfig else KubeConfig.from_env()).get(context)
            if config is None:
                raise ClusterError("the kubeconfig names no current context")
            self._client = Client(config, ConnectionParams(timeout=httpx2.Timeout(10, connect=3)))
        except ClusterError:
            raise
        except yaml.YAMLError as error:
            # Without the library's own words, which repeat the line: it may be the one with the token.
            mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
            raise ClusterError(f"the kubeconfig is no YAML{f' from line {mark.line + 1} on' if mark else ''}") from None
        except AttributeError:
            raise ClusterError("the kubeconfig is not one: its YAML is no mapping") from None
        except Exception as error:
            # A kubeconfig can be wrong in more ways than there are types of errors, and the counters that are read
            # with it are an extra: whatever it is, it is told and the probe goes on.
            raise ClusterError(f"the kubeconfig cannot be used ({type(error).__name__}: {error})") from error

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def pods(self, component: str) -> list[Pod]:
        """The running pods of a component, named by its label app.kubernetes.io/name.

        Raises:
            ClusterError: they cannot be listed, or there is none.
        """
        labels = f"app.kubernetes.io/name={component},app.kubernetes.io/part-of={PART_OF}"
        parameters = {"labelSelector": labels, "fieldSelector": "status.phase=Running"}
        document = cast("dict[str, Any]", self._get(self._path, parameters).json())
        pods = [
            Pod(item["metadata"]["name"], tuple(container["name"] for container in item["spec"]["containers"]))
            for item in document["items"]
        ]
        if not pods:
            raise ClusterError(
                f"no running pod has the labels {labels} in the namespace {self._namespace}; "
                "is the kubeconfig's context the cluster of this stack? (--context)"
            )
        return pods

    def metrics(self, pod: Pod, port: int) -> str:
        """A pod's metrics in the Prometheus text format.

        Raises:
            ClusterError: the API server does not reach them or does not let them be read.
        """
        return self._get(f"{self._path}/{pod.name}:{port}/proxy/metrics", {}).text

    def log_lines(self, pod: Pod, last_seconds: int) -> Iterator[str]:
        """The lines that a pod logged in the last seconds, container by container.

        Raises:
            ClusterError: the API server does not let them be read.
        """
        for container in pod.containers:
            parameters = {"container": container, "sinceSeconds": str(last_seconds)}
            try:
                with self._client.stream("GET", f"{self._path}/{pod.name}/log", params=parameters) as answer:
                    if answer.status_code != HTTPStatus.OK:
                        answer.read()
                        raise ClusterError(_refusal(answer.status_code, answer.text))
                    yield from answer.iter_lines()
            except self._http_error as error:
                raise self._unreachable(error) from None

    def _get(self, path: str, parameters: dict[str, str]) -> Any:
        try:
            answer = self._client.get(path, params=parameters)
        except self._http_error as error:
            raise self._unreachable(error) from None
        if answer.status_code != HTTPStatus.OK:
            raise ClusterError(_refusal(answer.status_code, answer.text))
        return answer

    def _unreachable(self, error: Exception) -> ClusterError:
        return ClusterError(f"the API server {self._client.base_url} cannot be reached ({error})")


def _refusal(status: int, text: str) -> str:
    try:
        reason = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        reason = text.strip()[:300]
    return f"the API server answers HTTP {status}: {reason}"
