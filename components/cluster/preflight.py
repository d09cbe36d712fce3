"""Asks the cluster, before anything is changed, whether it would take the stack.

All that it refuses is told at once, with what is allowed and the commands that lead on. The API server itself judges
wherever it can, by a dry run; only room in a quota is computed here, since a dry run counts what an update replaces
twice. What may not be asked is not judged, and is warned of where the configuration asks for it by name.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import pulumi

from components.cluster.api import Answer, Api
from components.cluster.api_objects import Object, labels, listed, section
from components.cluster.demand import LISTS, Live, needed_lists, quantity, shortages, without_room_to_roll
from components.cluster.findings import KUBERNETES_API_PORTS, Findings
from components.cluster.kubeconfig import ApiUnavailableError
from components.plan.labels import PART_OF, own_labels
from components.plan.pods import KEYS, Container, PodDemand, pods_of
from settings import Settings
from settings.stack import NAME_LABEL, PART_OF_LABEL

_SELECTOR = ",".join(f"{key}={value}" for key, value in PART_OF.items())


_NOT_OF_PODS = r'cannot create resource "pods"|error looking up service account|exceeded quota|failed quota|dry[- ]?run'
"""What a dry run of a pod is refused for that says nothing of the stack's pods."""

_UID_RANGE = "openshift.io/sa.scc.uid-range"
"""The annotation by which OpenShift assigns users to a namespace: its documentation, "Managing security context
constraints"."""


@dataclass(frozen=True)
class _Problem:
    """One thing that the cluster would refuse."""

    where: str
    lines: tuple[str, ...]
    """What is wrong and what is allowed, then the commands."""

    def __str__(self) -> str:
        return "\n".join([f"  {self.where}", *(f"    {line}" for line in self.lines)])


async def preflight(settings: Settings, api: Api) -> Findings:
    """Checks the namespace, its quotas and rules for pods, and the NodePorts that are configured.

    Args:
        settings: the configuration.
        api: the API server.

    Returns:
        What the components need to know of the cluster; nothing where it does not answer, which is not told here.

    Raises:
        pulumi.RunError: the cluster would refuse something.
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


async def _asked(settings: Settings, api: Api) -> tuple[list[_Problem], Findings]:
    name = settings.namespace
    path = f"/api/v1/namespaces/{name}"
    namespace, quotas, ports, api_ports = await asyncio.gather(
        api.get(path),
        api.get(f"{path}/resourcequotas"),
        _node_ports(settings, api),
        _api_ports(settings, api),
    )
    problems = _of_namespace(settings, namespace)
    findings = Findings(api_ports)
    # Who may not read the namespace itself, as most of its users may not, may still be told what is in it.
    if not namespace.is_missing and not problems:
        _warn_of_openshift(settings, namespace)
        (of_quotas, lacking), of_pods = await asyncio.gather(
            _quotas(settings, api, quotas.items),
            _admission(settings, api),
        )
        problems += of_quotas + of_pods
        findings = Findings(api_ports, lacking)
    return problems + ports, findings


def _of_namespace(settings: Settings, namespace: Answer) -> list[_Problem]:
    """Whether the namespace is there as `createNamespace` says; not where it may not be read."""
    name = settings.namespace
    key = f'nginx-tracing:namespace = "{name}"'
    if namespace.is_missing and not settings.create_namespace:
        lines = (
            "there is no such namespace, and `createNamespace` is false",
            f"kubectl create namespace {name}",
            "or: pulumi config set createNamespace true",
        )
        return [_Problem(key, lines)]
    if not namespace.is_ok:
        return []
    if namespace.body["metadata"].get("deletionTimestamp"):
        lines = (
            "is being deleted, and takes no new objects until it is gone",
            f"kubectl wait --for=delete namespace/{name} --timeout=5m",
        )
        return [_Problem(key, lines)]
    if not settings.create_namespace and labels(namespace.body).get(PART_OF_LABEL) == PART_OF[PART_OF_LABEL]:
        lines = (
            f"was created by this program (its label {PART_OF_LABEL} says so). Where this stack did it, Pulumi would "
            "delete it, with everything in it",
            "pulumi config set createNamespace true",
            f"or, where `pulumi stack --show-urns` lists no Namespace: kubectl label namespace {name} {PART_OF_LABEL}-",
        )
        return [_Problem("nginx-tracing:createNamespace = false", (f'the namespace "{name}" {lines[0]}', *lines[1:]))]
    return []


def _warn_of_openshift(settings: Settings, namespace: Answer) -> None:
    """Warns where OpenShift assigns users and the pods have their images' own.

    A dry run does not tell: it is judged by the rights of whoever runs Pulumi, the pods by those of their account.
    """
    annotations = section(namespace.body, "metadata", "annotations")
    if settings.pod_user == "image" and _UID_RANGE in annotations:
        pulumi.log.warn(
            f"OpenShift assigns the users {annotations[_UID_RANGE]} to the namespace {settings.namespace}, and refuses "
            "pods with their images' own, unless their account was given the right: pulumi config set podUser cluster"
        )


async def _quotas(settings: Settings, api: Api, quotas: Sequence[Object]) -> tuple[list[_Problem], Mapping[str, str]]:
    """What has no room, and which components could not roll. Most namespaces have no quota: nothing more is asked."""
    if not quotas:
        return [], {}
    name = settings.namespace
    needed = sorted(needed_lists(quotas))
    limit_ranges, *lists = await asyncio.gather(
        api.get(f"/api/v1/namespaces/{name}/limitranges"),
        *(api.get(LISTS[kind].path(name), labelSelector=_SELECTOR) for kind in needed),
    )
    own = {kind: answer.items for kind, answer in zip(needed, lists, strict=True) if answer.is_ok}
    live = Live(quotas, limit_ranges.items, own)
    problems = [
        _Problem(
            f"ResourceQuota {short.quota} of the namespace {name}: {short.resource}",
            (short.text, f"kubectl --namespace {name} describe resourcequota {short.quota}", *short.commands),
        )
        for short in shortages(settings, live)
    ]
    return problems, without_room_to_roll(settings, live)


async def _admission(settings: Settings, api: Api) -> list[_Problem]:
    """What else keeps pods out of a namespace that is not the stack's own: the API server is asked by a dry run.

    Its Pod Security level and version, a LimitRange, OpenShift's security context constraints, a PriorityClass that is
    missing. What a policy of the cluster's own says is only warned of.
    """
    if settings.create_namespace:
        return []
    demands = pods_of(settings)
    path = f"/api/v1/namespaces/{settings.namespace}/pods"
    answers = await asyncio.gather(*(api.try_out(path, _pod(settings, demand)) for demand in demands))
    refused: dict[str, list[str]] = {}
    for demand, answer in zip(demands, answers, strict=True):
        reason = _refusal(answer)
        if reason and re.search(r"admission webhook|ValidatingAdmissionPolicy", reason):
            # What is tried is not the pod itself: a policy of the cluster's own may ask for what it has not.
            pulumi.log.warn(f"pods of {demand.component} in {settings.namespace} may be refused: {reason}")
        elif reason:
            refused.setdefault(reason.replace(f" for: {demand.component}", ""), []).append(demand.component)
    return [
        _Problem(
            f"pods of {' and '.join(components)} in the namespace {settings.namespace}",
            (f"are refused: {reason}", *_ways_on(reason, settings, components)),
        )
        for reason, components in refused.items()
    ]


def _refusal(answer: Answer) -> str | None:
    """Why pods are refused; none where they are taken, or where it is not known."""
    if answer.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_REQUEST):
        return None
    # Who may make Deployments need not be allowed to make pods; a service account is made with its namespace a moment
    # later; quotas are judged elsewhere; some webhooks know no dry run.
    if re.search(_NOT_OF_PODS, answer.message, re.IGNORECASE):
        return None
    return re.sub(r'^pods? "[^"]*" is forbidden: |^Pod "[^"]*" is invalid: ', "", answer.message).strip()


def _ways_on(reason: str, settings: Settings, components: Sequence[str]) -> list[str]:
    """Commands that lead on from what the API server says of pods."""
    if "security context constraint" in reason:
        return ["pulumi config set podUser cluster"]
    if "PriorityClass" in reason:
        return ["kubectl get priorityclasses", "pulumi config rm --path scheduling.priorityClass"]
    if "PodSecurity" in reason:
        return [f"kubectl get namespace {settings.namespace} --show-labels", "pulumi config set namespace tracing"]
    bounds: list[tuple[str, str, str]] = re.findall(
        r"(maximum|minimum) (cpu|memory) usage per Container is ([\w.]*\w)", reason
    )
    if bounds or "usage per Pod" in reason:
        keys = [
            command for bound, name, value in bounds for command in _within(bound, name, value, settings, components)
        ]
        return [f"kubectl --namespace {settings.namespace} describe limitrange", *dict.fromkeys(keys)]
    return [f"kubectl get namespace {settings.namespace} --output=yaml"]


def _within(bound: str, name: str, value: str, settings: Settings, components: Sequence[str]) -> list[str]:
    """Commands for the containers that a bound of a LimitRange refuses, which the API server does not name."""
    kind, suffix = ("limits", "Limit") if bound == "maximum" else ("requests", "")
    refused: list[Container] = []
    for pod in (pod for pod in pods_of(settings) if pod.component in components):
        for container in pod.containers:
            asked, allowed = container.amounts().get(f"{kind}.{name}"), quantity(value)
            if asked is None or (asked > allowed if kind == "limits" else asked < allowed):
                refused.append(container)
    return [f"pulumi config set --path {container.key}.resources.{name}{suffix} {value}" for container in refused]


def _pod(settings: Settings, demand: PodDemand) -> Object:
    """A pod like those of a component, in all that admission looks at."""
    scheduling, user = settings.scheduling, {"runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001}
    context = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    init_containers = [_container(settings, container) for container in demand.init_containers]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{demand.component}-",
            "labels": {**settings.labels, **own_labels(demand.component)},
            "annotations": dict(settings.annotations),
        },
        "spec": {
            "automountServiceAccountToken": False,
            **({"initContainers": init_containers} if init_containers else {}),
            "containers": [_container(settings, container) for container in demand.containers],
            "securityContext": {**context, **(user if settings.pod_user == "image" else {})},
            **({"priorityClassName": scheduling.priority_class} if scheduling.priority_class else {}),
        },
    }


def _container(settings: Settings, container: Container) -> Object:
    asked = container.resources
    limits = {"memory": asked.memory_limit} | ({"cpu": asked.cpu_limit} if asked.cpu_limit else {})
    return {
        "name": container.name,
        # An image that the program builds is not known yet.
        "image": settings.images().get(container.image, "nginx"),
        "resources": {"requests": {"cpu": asked.cpu, "memory": asked.memory}, "limits": limits},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _fixed_node_ports(settings: Settings) -> dict[str, int]:
    """The NodePorts that are configured, by the key of the component."""
    return {key: port for key, service, port in settings.exposed() if port is not None and service.type != "ClusterIP"}


async def _node_ports(settings: Settings, api: Api) -> list[_Problem]:
    """Whether the NodePorts that are configured are free, and ports that the cluster gives."""
    fixed = _fixed_node_ports(settings)
    if not fixed:
        return []
    everywhere, *tried = await asyncio.gather(
        api.get("/api/v1/services"), *(_tried_port(settings, api, port) for port in fixed.values())
    )
    services = everywhere.items or (await api.get(f"/api/v1/namespaces/{settings.namespace}/services")).items
    problems: list[_Problem] = []
    unknown: list[str] = []
    names = {key: component for component, key in KEYS.items()}
    for (component_key, port), answer in zip(fixed.items(), tried, strict=True):
        key, component = f"{component_key}.nodePort", names[component_key]
        holder = next((service for service in services if port in _ports_held(service)), None)
        if holder is not None and _is_own(holder, settings, component):
            continue
        wrong = _wrong_with_port(holder, settings, answer)
        if wrong:
            remove = f"pulumi config rm --path {key}, and the cluster chooses one"
            problems.append(_Problem(f"nginx-tracing:{key} = {port}", (*wrong, remove)))
        elif _NO_AFFINITY not in answer.message:
            unknown.append(f"{key} = {port} ({answer.message})")
    if unknown:
        pulumi.log.warn(f"it was not checked that the cluster has these NodePorts free: {'; '.join(unknown)}")
    return problems


_NO_AFFINITY = "Preflight"


async def _tried_port(settings: Settings, api: Api, port: int) -> Answer:
    """What the API server says to a Service with this NodePort, in `default` where the namespace is not there yet.

    A dry run looks whether another has the port and not whether the cluster gives it. So the Service is one that is
    never created: the API server takes the port first, finds an affinity that there is none of, and gives the port back
    (`BeginCreate` and `BeforeCreate` in `apiserver/pkg/registry/generic/registry/store.go` of Kubernetes 1.32).
    """
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"generateName": "nginx-tracing-"},
        "spec": {"type": "NodePort", "sessionAffinity": _NO_AFFINITY, "ports": [{"port": 80, "nodePort": port}]},
    }
    answer = await api.offer(f"/api/v1/namespaces/{settings.namespace}/services", service)
    return await api.offer("/api/v1/namespaces/default/services", service) if answer.is_missing else answer


def _ports_held(service: Object) -> set[object]:
    spec = section(service, "spec")
    return {port.get("nodePort") for port in listed(spec, "ports")} | {spec.get("healthCheckNodePort")}


def _is_own(service: Object, settings: Settings, component: str) -> bool:
    metadata = service["metadata"]
    named = (metadata.get("namespace"), metadata.get("name")) == (settings.namespace, component)
    return named and own_labels(component).items() <= labels(service).items()


def _wrong_with_port(holder: Object | None, settings: Settings, answer: Answer) -> tuple[str, ...]:
    outside = re.search(r"range of valid ports is (\d+-\d+)", answer.message) if not answer.is_ok else None
    if outside:
        return (f"is not among the ports that this cluster gives, which are {outside[1]}",)
    if holder is not None:
        metadata = holder["metadata"]
        namespace, name = metadata.get("namespace"), metadata.get("name")
        is_ours = (
            namespace == settings.namespace
            and labels(holder).get(PART_OF_LABEL) == PART_OF[PART_OF_LABEL]
            and labels(holder).get(NAME_LABEL) in KEYS
        )
        whose = ", of this stack: give that one another port first, by an update of its own" if is_ours else ""
        command = f"kubectl --namespace {namespace} get service {name}"
        return (f"is held by the Service {name} in the namespace {namespace}{whose}", command)
    if not answer.is_ok and "already allocated" in answer.message:
        return ("is held by another Service", f"kubectl get services --all-namespaces | grep {_port_in(answer)}")
    return ()


def _port_in(answer: Answer) -> str:
    found = re.search(r"Invalid value: (\d+)", answer.message)
    return found[1] if found else "nodePort"


async def _api_ports(settings: Settings, api: Api) -> tuple[int, ...]:
    """The ports of the API server's endpoints that are not among the usual ones, where the Collector has to know."""
    collector = settings.collector
    asked = collector.enabled and collector.kubernetes_attributes and settings.network_policies
    if not asked or collector.kubernetes_api_port is not None:
        return ()
    answer = await api.get(
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
        labelSelector="kubernetes.io/service-name=kubernetes",
    )
    if not answer.is_ok:
        usual = " or ".join(map(str, KUBERNETES_API_PORTS))
        pulumi.log.warn(
            f"it was not checked that the API server's endpoints listen on {usual} ({answer.message}). Where they do "
            "not, the Collector does not start: pulumi config set --path collector.kubernetesApiPort <port>"
        )
    ports = {int(port["port"]) for item in answer.items for port in listed(item, "ports") if port.get("port")}
    return tuple(sorted(ports - set(KUBERNETES_API_PORTS)))
