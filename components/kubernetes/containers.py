"""Parts of containers: security, resources, probes and the end."""

from pulumi_kubernetes.core.v1 import (
    CapabilitiesArgs,
    EnvVarArgs,
    HTTPGetActionArgs,
    LifecycleArgs,
    LifecycleHandlerArgs,
    ProbeArgs,
    ResourceRequirementsArgs,
    SecurityContextArgs,
    SleepActionArgs,
)

from settings.general import Resources
from settings.types import amount


def container_security() -> SecurityContextArgs:
    """Returns the security context of the *restricted* Pod Security Standard, and a read-only root besides."""
    return SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=CapabilitiesArgs(drop=["ALL"]),
    )


def resources(configured: Resources) -> ResourceRequirementsArgs:
    """Returns requests and limits."""
    limits = {"memory": configured.memory_limit}
    if configured.cpu_limit is not None:
        limits["cpu"] = configured.cpu_limit
    return ResourceRequirementsArgs(requests={"cpu": configured.cpu, "memory": configured.memory}, limits=limits)


def go_memory_limit(configured: Resources) -> EnvVarArgs:
    """Returns 80 % of the memory limit as GOMEMLIMIT: Go then collects harder before the kernel kills the process."""
    mebibytes = int(amount(configured.memory_limit) * 80 / 100 / 2**20)
    return EnvVarArgs(name="GOMEMLIMIT", value=f"{mebibytes}MiB")


def ready_when(path: str, port: int, *, after_seconds: int | None = None) -> ProbeArgs:
    """Returns a readiness probe by HTTP. The kubelet asks each second, because readiness sets the pace of a rollout.

    Args:
        path: the path that the kubelet asks for.
        port: the container's port.
        after_seconds: how long the kubelet keeps a new pod unready before it asks.
    """
    get = HTTPGetActionArgs(path=path, port=port)
    return ProbeArgs(http_get=get, period_seconds=1, failure_threshold=3, initial_delay_seconds=after_seconds)


def started_when(path: str, port: int, *, within_seconds: int) -> ProbeArgs:
    """Returns a startup probe by HTTP. The kubelet asks each second, and runs no other probe until this one succeeds.

    Args:
        path: the path that the kubelet asks for.
        port: the container's port.
        within_seconds: the time after which the kubelet restarts the container.
    """
    get = HTTPGetActionArgs(path=path, port=port)
    return ProbeArgs(http_get=get, period_seconds=1, timeout_seconds=5, failure_threshold=within_seconds)


def alive_while(path: str, port: int, *, grace_seconds: int | None = None) -> ProbeArgs:
    """Returns a liveness probe by HTTP. A minute of silence counts as a dead process; less may be a busy one.

    Args:
        path: the path that the kubelet asks for.
        port: the container's port.
        grace_seconds: the time that a dead process gets to end, if it is not the pod's.
    """
    return ProbeArgs(
        http_get=HTTPGetActionArgs(path=path, port=port),
        period_seconds=10,
        timeout_seconds=5,
        failure_threshold=6,
        termination_grace_period_seconds=grace_seconds,
    )


def stop_after(seconds: int) -> LifecycleArgs:
    """Returns a hook that keeps an ending container at work for some seconds, until its clients have left it."""
    return LifecycleArgs(pre_stop=LifecycleHandlerArgs(sleep=SleepActionArgs(seconds=seconds)))
