"""A cluster for the tests of the checks: its answers, and the program's errors about them."""

import asyncio
from typing import Any

import pulumi
import pytest

from components.cluster.api import Api
from components.cluster.findings import Findings
from components.cluster.preflight import preflight
from settings import Settings
from tests.unit.fake_api import FakeApi, Object, Said, listed, refused, serving

HEAD = "the cluster would refuse this configuration; nothing was changed.\n\n"


OWN = {"app.kubernetes.io/part-of": "nginx-tracing"}


def settings(**values: Any) -> Settings:
    return Settings.model_validate({"namespace": "shared", "createNamespace": False, **values})


def namespace(**metadata: Any) -> Said:
    return 200, {"kind": "Namespace", "metadata": {"name": "shared", **metadata}}


def quota(hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> Object:
    return {"metadata": {"name": "team"}, "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used or {}}}


def container(name: str, cpu: str = "100m", **more: Any) -> Object:
    resources = {"requests": {"cpu": cpu, "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
    return {"name": name, "resources": resources, **more}


def own_pod(component: str, phase: str = "Running", **spec: Any) -> Object:
    gateway = [container("gateway", cpu="10m")] if component == "tempo" else []
    return {
        "metadata": {"name": f"{component}-1", "labels": {**OWN, "app.kubernetes.io/name": component}},
        "spec": {"containers": [container(component), *gateway], **spec},
        "status": {"phase": phase},
    }


def own_pods(phase: str = "Running") -> list[Object]:
    """Returns the pods of the defaults: two Collectors, and a Tempo with its gateway."""
    return [own_pod(component, phase) for component in ("nginx", "otel-collector", "otel-collector", "tempo")]


def service(name: str, in_namespace: str, port: int, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    metadata = {"name": name, "namespace": in_namespace, "labels": labels or {}}
    return {"metadata": metadata, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}], **spec}}


FREE = refused(422, 'Service "x" is invalid: spec.sessionAffinity: Unsupported value: "Preflight"')
"""The API server's refusal of a Service whose port is free. It never creates that Service."""


FINE: dict[str, Any] = {
    "GET /api/v1/namespaces/shared": namespace(),
    "GET /api/v1/namespaces/shared/resourcequotas": listed(),
    "POST /api/v1/namespaces/shared/pods": (201, {"kind": "Pod"}),
    "GET /api/v1/services": listed(),
    "POST /api/v1/namespaces/shared/services": FREE,
}


async def looked(given: Settings, kubeconfig: str) -> Findings:
    async with Api(kubeconfig, None) as api:
        return await preflight(given, api)


def checked(given: Settings, **answers: Any) -> tuple[Findings, FakeApi]:
    """Runs the checks on a cluster with these answers, which are by `METHOD path`."""
    with serving(FakeApi({**FINE, **answers})) as api:
        return asyncio.run(looked(given, api.kubeconfig)), api


def refusal(given: Settings, answers: dict[str, Any] | None = None) -> str:
    with pytest.raises(pulumi.RunError) as error:
        checked(given, **(answers or {}))
    assert str(error.value).startswith(HEAD)
    return str(error.value).removeprefix(HEAD)


def with_quota(*quotas: Object, pods: tuple[Object, ...] = (), **more: Any) -> dict[str, Any]:
    return {
        "GET /api/v1/namespaces/shared/resourcequotas": listed(*quotas),
        "GET /api/v1/namespaces/shared/limitranges": listed(),
        "GET /api/v1/namespaces/shared/pods": listed(*pods),
        "GET /api/v1/namespaces/shared/services": listed(),
        "GET /api/v1/namespaces/shared/persistentvolumeclaims": listed(),
        **more,
    }
