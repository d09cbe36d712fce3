"""Asks the cluster whether it would take the stack, before the program changes anything.

The error names every refusal at once, with what is allowed and the commands that fix it. The API server itself judges
where it can, by a dry run. The program computes only the room in quotas, because a dry run counts the objects that an
update replaces twice. It does not judge what it may not ask, and warns of it if the configuration asks for it by name.
"""

import asyncio
from collections.abc import Mapping, Sequence

import pulumi

from components.cluster.admission import admission_problems
from components.cluster.api import Answer, Api
from components.cluster.api_objects import Object, labels, listed, section
from components.cluster.demand import LISTS, Live, needed_lists
from components.cluster.findings import KUBERNETES_API_PORTS, Findings
from components.cluster.kubeconfig import ApiUnavailableError
from components.cluster.node_ports import node_port_problems
from components.cluster.problem import Problem
from components.cluster.quotas import shortages, without_room_to_roll
from components.cluster.zones import zone_problems
from components.plan.labels import PART_OF, is_part_of, selector
from settings import Settings
from settings.stack import PART_OF_LABEL

_UID_RANGE = "openshift.io/sa.scc.uid-range"
"""The annotation by which OpenShift assigns users to a namespace. Source: its documentation, "Managing security context
constraints"."""


async def preflight(settings: Settings, api: Api) -> Findings:
    """Checks the namespace, its quotas, its rules for pods, the configured NodePorts and zones.

    Args:
        settings: the configuration.
        api: the API server.

    Returns:
        The facts that the components need. None if the cluster does not answer, which `node_host` reports.

    Raises:
        pulumi.RunError: the cluster would refuse the stack. Names every reason.
    """
    try:
        problems, findings = await _asked(settings, api)
    except ApiUnavailableError:
        return Findings()
    if problems:
        raise pulumi.RunError(
            "the cluster would refuse this configuration; nothing was changed.\n\n" + "\n\n".join(map(str, problems))
        )
    return findings


async def _asked(settings: Settings, api: Api) -> tuple[list[Problem], Findings]:
    name = settings.namespace
    path = f"/api/v1/namespaces/{name}"
    namespace, quotas, ports, zones, api_ports = await asyncio.gather(
        api.get(path),
        api.get(f"{path}/resourcequotas"),
        node_port_problems(settings, api),
        zone_problems(settings, api),
        _api_ports(settings, api),
    )
    problems = _of_namespace(settings, namespace)
    findings = Findings(api_ports)
    # Most users of a namespace may not read the namespace itself, and still may read the objects in it.
    if not namespace.is_missing and not problems:
        _warn_of_openshift(settings, namespace)
        (of_quotas, lacking), of_pods = await asyncio.gather(
            _quotas(settings, api, quotas.items),
            admission_problems(settings, api),
        )
        problems += of_quotas + of_pods
        findings = Findings(api_ports, lacking)
    return problems + ports + zones, findings


def _of_namespace(settings: Settings, namespace: Answer) -> list[Problem]:
    """Checks that the namespace exists if `createNamespace` is false, and is not being deleted.

    A namespace that the program may not read passes.
    """
    name = settings.namespace
    key = f'nginx-tracing:namespace = "{name}"'
    if namespace.is_missing and not settings.create_namespace:
        lines = (
            "there is no such namespace, and `createNamespace` is false",
            f"kubectl create namespace {name}",
            "or: pulumi config set createNamespace true",
        )
        return [Problem(key, lines)]
    if not namespace.is_ok:
        return []
    if namespace.body["metadata"].get("deletionTimestamp"):
        lines = (
            "is terminating, and takes no new objects until it is gone",
            f"kubectl wait --for=delete namespace/{name} --timeout=5m",
        )
        return [Problem(key, lines)]
    if not settings.create_namespace and is_part_of(labels(namespace.body)):
        lines = (
            f"has the label {PART_OF_LABEL} of this program, which created it. If this stack did, Pulumi would "
            "delete it, with everything in it",
            "pulumi config set createNamespace true",
            f"or, if `pulumi stack --show-urns` lists no Namespace: kubectl label namespace {name} {PART_OF_LABEL}-",
        )
        return [Problem("nginx-tracing:createNamespace = false", (f'the namespace "{name}" {lines[0]}', *lines[1:]))]
    return []


def _warn_of_openshift(settings: Settings, namespace: Answer) -> None:
    """Warns if OpenShift assigns users, and the pods have their images' own users.

    A dry run does not tell: OpenShift judges it by the rights of whoever runs Pulumi, and the real pods by their
    account's.
    """
    annotations = section(namespace.body, "metadata", "annotations")
    if settings.pod_user == "image" and _UID_RANGE in annotations:
        pulumi.log.warn(
            f"OpenShift assigns the users {annotations[_UID_RANGE]} to the namespace {settings.namespace}, and refuses "
            "pods with their images' own users, unless their account has that right: pulumi config set podUser cluster"
        )


async def _quotas(settings: Settings, api: Api, quotas: Sequence[Object]) -> tuple[list[Problem], Mapping[str, str]]:
    """Returns the quotas without room, and the components that could not roll.

    It asks for nothing more in a namespace without quotas, as most are.
    """
    if not quotas:
        return [], {}
    name = settings.namespace
    needed = sorted(needed_lists(quotas))
    limit_ranges, *lists = await asyncio.gather(
        api.get(f"/api/v1/namespaces/{name}/limitranges"),
        *(api.get(LISTS[kind].path(name), labelSelector=selector(PART_OF)) for kind in needed),
    )
    own = {kind: answer.items for kind, answer in zip(needed, lists, strict=True) if answer.is_ok}
    live = Live(quotas, limit_ranges.items, own)
    problems = [
        Problem(
            f"ResourceQuota {short.quota} of the namespace {name}: {short.resource}",
            (short.text, f"kubectl --namespace {name} describe resourcequota {short.quota}", *short.commands),
        )
        for short in shortages(settings, live)
    ]
    return problems, without_room_to_roll(settings, live)


async def _api_ports(settings: Settings, api: Api) -> tuple[int, ...]:
    """Returns the unusual ports of the API server's endpoints, if a network policy needs them."""
    asked = settings.asks_kubernetes and settings.network_policies
    if not asked or settings.collector.kubernetes_api_port is not None:
        return ()
    answer = await api.get(
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
        labelSelector="kubernetes.io/service-name=kubernetes",
    )
    if not answer.is_ok:
        usual = " or ".join(map(str, KUBERNETES_API_PORTS))
        pulumi.log.warn(
            f"the program could not check that the API server's endpoints listen on {usual} ({answer.message}). If "
            "they do not, the Collector does not start, and Prometheus finds no pods: "
            "pulumi config set --path collector.kubernetesApiPort <port>"
        )
    ports = {int(port["port"]) for item in answer.items for port in listed(item, "ports") if port.get("port")}
    return tuple(sorted(ports - set(KUBERNETES_API_PORTS)))
