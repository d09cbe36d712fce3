"""The policy pack, asked as the engine asks it: what each policy refuses, with which words, and what it accepts."""

import base64
import json
import runpy
from dataclasses import dataclass
from typing import Any

import pulumi_policy
import pytest
from pulumi_policy import PolicyResource, PolicyResourceOptions, ResourceValidationArgs, StackValidationArgs
from pulumi_policy.deserialize import deserialize_properties
from pulumi_policy.policy import PolicyCustomTimeouts
from pulumi_policy.proxy import (
    UNKNOWN_ARRAY_VALUE,
    UNKNOWN_NUMBER_VALUE,
    UNKNOWN_OBJECT_VALUE,
    UNKNOWN_STRING_VALUE,
    unknown_checking_proxy,
)

from lab.paths import REPOSITORY
from tests import golden
from tests.unit.conftest import Run

Object = dict[str, Any]


class Pack:
    """What `policy/__main__.py` hands to Pulumi, instead of serving it until it is killed."""

    policies: dict[str, pulumi_policy.Policy]
    name: str
    enforcement_level: pulumi_policy.EnforcementLevel

    def __init__(self) -> None:
        def take(
            name: str, policies: list[pulumi_policy.Policy], enforcement_level: pulumi_policy.EnforcementLevel
        ) -> None:
            self.name, self.enforcement_level = name, enforcement_level
            self.policies = {policy.name: policy for policy in policies}

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pulumi_policy, "PolicyPack", take)
            runpy.run_path(str(REPOSITORY / "policy"), run_name="__main__")

    def judge(
        self, policy: str, objects: list[Object], configuration: Object | None = None, package: str = "kubernetes"
    ) -> list[str]:
        """The messages of one policy about a stack of these objects."""
        judge = self.policies[policy]
        messages: list[str] = []

        def report(message: str, urn: str | None = None) -> None:
            messages.append(message)

        validate: Any = judge.validate  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
        resources = [_resource(package, number, item) for number, item in enumerate(objects)]
        if isinstance(judge, pulumi_policy.StackValidationPolicy):
            stack = [PolicyResource(*resource, None, [], {}) for resource in resources]
            validate(StackValidationArgs(stack, configuration), report)
        else:
            for resource in resources:
                validate(ResourceValidationArgs(*resource, configuration), report)
        return messages


def _resource(package: str, number: int, item: Object) -> tuple[str, Object, str, str, PolicyResourceOptions, None]:
    options = PolicyResourceOptions(False, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])
    kind = f"{package}:{item['apiVersion']}:{item['kind']}"
    return kind, unknown_checking_proxy(item), f"urn:{number}", f"resource-{number}", options, None


PACK = Pack()


def of(api_version: str, kind: str, name: str, namespace: str | None = "tracing", **content: Any) -> Object:
    place = {} if namespace is None else {"namespace": namespace}
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name} | place} | content


CONTAINER: Object = {
    "name": "main",
    "image": "tempo:2.7.2",
    "ports": [{"name": "http", "containerPort": 3100.0}],
    "readinessProbe": {"httpGet": {"port": "http"}},
    "livenessProbe": {"httpGet": {"port": "http"}},
    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
}
"""A container that no policy refuses, in a pod like this one."""

POD_SECURITY: Object = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def container(**changes: Any) -> Object:
    """The good container with other fields; None removes one."""
    return {key: value for key, value in (CONTAINER | changes).items() if value is not None}


def security(**changes: Any) -> Object:
    """The good container with another security context."""
    changed: Object = CONTAINER["securityContext"] | changes
    return container(securityContext={key: value for key, value in changed.items() if value is not None})


def spec(*containers: Object, **pod: Any) -> Object:
    return {"securityContext": POD_SECURITY, "containers": list(containers or [CONTAINER])} | pod


def workload(
    *containers: Object, kind: str = "Deployment", name: str = "tempo", namespace: str | None = "tracing", **pod: Any
) -> Object:
    template: Object = {"metadata": {"labels": {"app": name, "tier": "back"}}, "spec": spec(*containers, **pod)}
    if kind == "Pod":
        return of("v1", "Pod", name, namespace, spec=template["spec"])
    if kind == "CronJob":
        return of("batch/v1", "CronJob", name, namespace, spec={"jobTemplate": {"spec": {"template": template}}})
    return of("batch/v1" if kind == "Job" else "apps/v1", kind, name, namespace, spec={"template": template})


def service(
    selector: Any, *ports: Object, name: str = "tempo", kind: str | None = "ClusterIP", namespace: str = "tracing"
) -> Object:
    content: Object = {"selector": selector, "ports": list(ports), "type": kind}
    return of(
        "v1", "Service", name, namespace, spec={key: value for key, value in content.items() if value is not None}
    )


def config_map(data: Any, name: str = "tempo-conf", namespace: str | None = "tracing", **content: Any) -> Object:
    return of("v1", "ConfigMap", name, namespace, data=data, **content)


def secret(text: str | bytes, key: str = "token") -> Object:
    """A Secret as the provider hands it to policies: base64."""
    encoded = base64.b64encode(text.encode() if isinstance(text, str) else text).decode()
    return of("v1", "Secret", "login", data={key: encoded})


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# What the tutorial that this program replaces deploys, in short: see `test_the_tutorials_stack_is_refused…`.
TUTORIAL = [
    config_map({"config.yml": "server: {http_listen_port: 3100}"}, "tempo-conf", None),
    of("apps/v1", "Deployment", "tempo", None)
    | {
        "spec": {
            "template": {
                "metadata": {"labels": {"app": "tempo"}},
                "spec": {
                    "containers": [
                        {"name": "tempo", "image": "grafana/tempo", "ports": [{"containerPort": 3100, "name": "web"}]}
                    ]
                },
            }
        }
    },
    service({"app": "tempo"}, {"port": 3100, "targetPort": 3100}, name="tempo-svc", kind="NodePort", namespace="apm"),
    of("v1", "Service", "otel-collector", spec={"ports": [{"port": 4317, "targetPort": 4317}]}),
]

PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIBase64OfNothing0123456789\n-----END EC PRIVATE KEY-----\n"
JWT = ".".join([*(encoded(part).rstrip("=") for part in ('{"alg":"none"}', '{"sub":"nobody"}')), "c2lnbmF0dXJl"])
PASSWORD = "correct-horse"  # noqa: S105 - of nothing
LOGIN = json.dumps({"auths": {"registry.example": {"username": "puller", "password": PASSWORD}}})

PINNED = 'allowed: a tag other than "latest", or a digest'
ONE_WORKLOAD = "allowed: labels that the pods of exactly one workload in its namespace have"
ONLY_SECRETS = "allowed: it in a Secret alone, mounted as a file"
APPARMOR = "container.apparmor.security.beta.kubernetes.io"
VOLUMES = "configMap, csi, downwardAPI, emptyDir, ephemeral, persistentVolumeClaim, projected, secret"
PROVIDERS = '"default", where objects land that name none'
IN_TRACING = 'allowed: "tracing", the namespace of the stack'
MAIN = 'Deployment "tempo", container "main"'
NAMESPACE = of("v1", "Namespace", "tracing", None)


@dataclass
class Case:
    """A stack, and all that a policy says about it."""

    policy: str
    sentence: str
    objects: list[Object]
    messages: tuple[str, ...] = ()
    configuration: Object | None = None


def image(text: Any, sentence: str, *messages: str) -> Case:
    return Case("images-pinned", sentence, [workload(container(image=text))], messages)


def restricted(sentence: str, item: Object, *messages: str) -> Case:
    return Case("restricted-security-context", sentence, [item], messages)


def kept(sentence: str, kept_in: Object, item: Object, *messages: str) -> Case:
    return Case("no-secrets-in-config-maps", sentence, [kept_in, item], messages)


REFUSED = [
    kept(
        "an address with what only its owner knows, from a Secret's document",
        secret("url: https://hooks.example/services/T024/B7\nname: traces"),
        config_map({"a": "  url: https://hooks.example/services/T024/B7"}),
        f'ConfigMap "tempo-conf": the key "a" has the value of the key "token" of Secret "login"; {ONLY_SECRETS}',
    ),
    image("grafana/tempo", "an image without a tag", f'{MAIN}: the image "grafana/tempo" has no tag; {PINNED}'),
    image("nginx:latest", "the tag latest", f'{MAIN}: the image "nginx:latest" has the tag "latest"; {PINNED}'),
    image(
        "registry:5000/nginx",
        "a registry's port instead of a tag",
        f'{MAIN}: the image "registry:5000/nginx" has no tag; {PINNED}',
    ),
    image("nginx@sha256:", "half a digest", f'{MAIN}: the image "nginx@sha256:" has no tag; {PINNED}'),
    image(None, "no image at all", f"{MAIN}: no image is named; {PINNED}"),
    Case(
        "images-pinned",
        "an init container of a CronJob",
        [workload(kind="CronJob", initContainers=[container(name="first", image="busybox")])],
        (f'CronJob "tempo", init container "first": the image "busybox" has no tag; {PINNED}',),
    ),
    Case(
        "services-select-pods",
        "the tutorial's Service without a selector",
        TUTORIAL[3:],
        (f'Service "otel-collector": it has no selector; {ONE_WORKLOAD}',),
    ),
    Case(
        "services-select-pods",
        "a selector that only part of a pod's labels match",
        [workload(), service({"app": "tempo", "tier": "front"})],
        (
            'Service "tempo": its selector {app=tempo, tier=front} matches the pods of no workload in the namespace '
            f'"tracing"; {ONE_WORKLOAD}',
        ),
    ),
    Case(
        "services-select-pods",
        "a workload in another namespace",
        [workload(namespace="apm"), service({"app": "tempo"})],
        (
            'Service "tempo": its selector {app=tempo} matches the pods of no workload in the namespace "tracing"; '
            f"{ONE_WORKLOAD}",
        ),
    ),
    Case(
        "services-select-pods",
        "no workload anywhere, in a namespace that only the update knows",
        [workload(), service({"app": "nginx"}, namespace=UNKNOWN_STRING_VALUE)],
        (f'Service "tempo": its selector {{app=nginx}} matches the pods of no workload; {ONE_WORKLOAD}',),
    ),
    Case(
        "services-select-pods",
        "a selector of two workloads' pods",
        [workload(), workload(kind="DaemonSet", name="nginx"), service({"tier": "back"})],
        (
            'Service "tempo": its selector {tier=back} matches the pods of Deployment "tempo", DaemonSet "nginx"; '
            f"{ONE_WORKLOAD}",
        ),
    ),
    Case(
        "services-select-pods",
        "a target port that no container names",
        [workload(), service({"app": "tempo"}, {"port": 80, "targetPort": "web"})],
        ('Service "tempo": targetPort "web" is not among the TCP ports of Deployment "tempo"; allowed: "http"',),
    ),
    Case(
        "services-select-pods",
        "a target port of the other protocol",
        [workload(), service({"app": "tempo"}, {"port": 80, "targetPort": "http", "protocol": "UDP"})],
        (
            'Service "tempo": targetPort "http" is not among the UDP ports of Deployment "tempo"; '
            "allowed: a number, since they have no name",
        ),
    ),
    Case(
        "probes-and-resources",
        "the tutorial's container without any",
        [workload(container(readinessProbe=None, livenessProbe=None, resources=None))],
        (
            f"{MAIN}: readinessProbe, livenessProbe, resources.requests.cpu, resources.requests.memory, "
            "resources.limits.memory are missing; each is required",
        ),
    ),
    Case(
        "probes-and-resources",
        "a StatefulSet's container without a memory limit",
        [workload(container(resources={"requests": {"cpu": "1", "memory": "1Gi"}}), kind="StatefulSet")],
        ('StatefulSet "tempo", container "main": resources.limits.memory is missing; each is required',),
    ),
    Case(
        "probes-and-resources",
        "a Job's container without requests, though it needs no probes",
        [
            workload(
                container(readinessProbe=None, livenessProbe=None, resources={"limits": {"memory": "1"}}), kind="Job"
            )
        ],
        (
            'Job "tempo", container "main": resources.requests.cpu, resources.requests.memory are missing; '
            "each is required",
        ),
    ),
    Case(
        "probes-and-resources",
        "an init container without resources",
        [workload(initContainers=[container(name="first", resources=None)])],
        (
            'Deployment "tempo", init container "first": resources.requests.cpu, resources.requests.memory, '
            "resources.limits.memory are missing; each is required",
        ),
    ),
    restricted(
        "the tutorial's pod without any security context",
        workload(container(securityContext=None), securityContext=None),
        f"{MAIN}: securityContext.runAsNonRoot is not set; allowed: true, here or in the pod",
        f"{MAIN}: securityContext.seccompProfile.type is not set; "
        "allowed: RuntimeDefault, Localhost, here or in the pod",
        f"{MAIN}: securityContext.allowPrivilegeEscalation is not set; allowed: false",
        f"{MAIN}: securityContext.capabilities.drop has no ALL; allowed: a list with ALL",
        f"{MAIN}: securityContext.readOnlyRootFilesystem is not set; allowed: true",
    ),
    restricted(
        "a container that may be root in a pod that may not",
        workload(security(runAsNonRoot=False, runAsUser=0.0)),
        f"{MAIN}: securityContext.runAsNonRoot is false; allowed: true, here or in the pod",
        f"{MAIN}: securityContext.runAsUser is 0; allowed: another user, or none",
    ),
    restricted(
        "a pod that is root, and no profile",
        workload(
            security(runAsNonRoot=True, seccompProfile={"type": "RuntimeDefault"}),
            securityContext={"runAsNonRoot": False, "runAsUser": 0, "seccompProfile": {"type": "Unconfined"}},
        ),
        'Deployment "tempo": securityContext.runAsNonRoot is false; allowed: true',
        'Deployment "tempo": securityContext.runAsUser is 0; allowed: another user, or none',
        'Deployment "tempo": securityContext.seccompProfile.type is Unconfined; allowed: RuntimeDefault, Localhost',
    ),
    restricted(
        "a privileged container with capabilities of its own",
        workload(
            security(
                privileged=True,
                allowPrivilegeEscalation=True,
                capabilities={"drop": ["NET_RAW"], "add": ["NET_BIND_SERVICE", "SYS_ADMIN"]},
                readOnlyRootFilesystem=False,
                procMount="Unmasked",
            )
        ),
        f"{MAIN}: securityContext.allowPrivilegeEscalation is true; allowed: false",
        f"{MAIN}: securityContext.privileged is true; allowed: false",
        f"{MAIN}: securityContext.capabilities.drop has no ALL; allowed: a list with ALL",
        f"{MAIN}: securityContext.capabilities.add has SYS_ADMIN; allowed: NET_BIND_SERVICE",
        f"{MAIN}: securityContext.procMount is Unmasked; allowed: Default",
        f"{MAIN}: securityContext.readOnlyRootFilesystem is false; allowed: true",
    ),
    restricted(
        "a pod with what is the node's",
        workload(
            container(ports=[{"containerPort": 80.0, "hostPort": 80.0}]),
            kind="Pod",
            hostNetwork=True,
            hostPID=True,
            hostIPC=True,
            volumes=[{"name": "root", "hostPath": {"path": "/"}}],
        ),
        'Pod "tempo": hostNetwork is true; allowed: false',
        'Pod "tempo": hostPID is true; allowed: false',
        'Pod "tempo": hostIPC is true; allowed: false',
        f'Pod "tempo": the volume "root" is of the kind hostPath; allowed: {VOLUMES}',
        'Pod "tempo", container "main": hostPort 80 is opened on the node; allowed: none',
    ),
    restricted(
        "an init container that says worse than its pod",
        workload(initContainers=[container(name="first", securityContext={"seccompProfile": {"type": "Unconfined"}})]),
        *(
            f'Deployment "tempo", init container "first": securityContext.{wrong}'
            for wrong in (
                "seccompProfile.type is Unconfined; allowed: RuntimeDefault, Localhost, here or in the pod",
                "allowPrivilegeEscalation is not set; allowed: false",
                "capabilities.drop has no ALL; allowed: a list with ALL",
                "readOnlyRootFilesystem is not set; allowed: true",
            )
        ),
    ),
    restricted(
        "a pod of the node's host processes",
        workload(security(windowsOptions={"hostProcess": True})),
        f"{MAIN}: securityContext.windowsOptions.hostProcess is true; allowed: false",
    ),
    restricted(
        "a profile in an annotation, and a setting of the node's kernel",
        of(
            "v1",
            "Pod",
            "tempo",
            spec=spec(securityContext=POD_SECURITY | {"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}),
        )
        | {"metadata": {"name": "tempo", "annotations": {f"{APPARMOR}/main": "unconfined", "note": "unconfined"}}},
        'Pod "tempo": the sysctl kernel.msgmax is set; allowed: kernel.shm_rmid_forced, net.ipv4.ip_local_port_range, '
        "net.ipv4.ip_local_reserved_ports, net.ipv4.ip_unprivileged_port_start, net.ipv4.ping_group_range, "
        "net.ipv4.tcp_fin_timeout, net.ipv4.tcp_keepalive_intvl, net.ipv4.tcp_keepalive_probes, "
        "net.ipv4.tcp_keepalive_time, net.ipv4.tcp_rmem, net.ipv4.tcp_syncookies, net.ipv4.tcp_wmem",
        f'Pod "tempo": the annotation {APPARMOR}/main is unconfined; allowed: runtime/default, localhost/…',
    ),
    restricted(
        "a node's own labels and profiles",
        workload(
            security(seLinuxOptions={"type": "spc_t", "user": "root"}),
            securityContext=POD_SECURITY | {"appArmorProfile": {"type": "Unconfined"}},
        ),
        'Deployment "tempo": securityContext.appArmorProfile.type is Unconfined; allowed: RuntimeDefault, Localhost',
        f"{MAIN}: securityContext.seLinuxOptions.type is spc_t; "
        "allowed: container_t, container_init_t, container_kvm_t, container_engine_t",
        f"{MAIN}: securityContext.seLinuxOptions.user is root; allowed: none",
    ),
    kept(
        "a Secret's value within a ConfigMap's text",
        secret(PASSWORD + "\n"),
        config_map({"app.ini": f"[db]\npassword={PASSWORD}; user=me\n"}),
        f'ConfigMap "tempo-conf": the key "app.ini" has the value of the key "token" of Secret "login"; {ONLY_SECRETS}',
    ),
    kept(
        "a Secret's value in base64, in binary data and behind a user's name",
        of("v1", "Secret", "login", stringData={"token": PASSWORD}),
        config_map({"header": f"Basic {encoded(f'me:{PASSWORD}')}"}, binaryData={"blob": encoded(f"x{PASSWORD}")}),
        f'ConfigMap "tempo-conf": the key "header" has the value of the key "token" of Secret "login"; {ONLY_SECRETS}',
        f'ConfigMap "tempo-conf": the key "blob" has the value of the key "token" of Secret "login"; {ONLY_SECRETS}',
    ),
    kept(
        "a Secret's value in a container's environment, command and arguments",
        secret(PASSWORD),
        workload(
            container(
                env=[{"name": "PASSWORD", "value": PASSWORD}],
                command=["/tempo", f"--password={PASSWORD}"],
                args=[encoded(PASSWORD)],
            ),
            kind="Job",
        ),
        'Job "tempo", container "main": the environment variable "PASSWORD" has the value of the key "token" of '
        f'Secret "login"; {ONLY_SECRETS}',
        f'Job "tempo", container "main": command[1] has the value of the key "token" of Secret "login"; {ONLY_SECRETS}',
        f'Job "tempo", container "main": args[0] has the value of the key "token" of Secret "login"; {ONLY_SECRETS}',
    ),
    kept(
        "one line of a Secret's document",
        secret("user: nobody\n  bearer: 0123456789\n"),
        config_map({"a": "bearer: 0123456789"}),
        f'ConfigMap "tempo-conf": the key "a" has the value of the key "token" of Secret "login"; {ONLY_SECRETS}',
    ),
    kept(
        "the password in a registry's login",
        secret(LOGIN, ".dockerconfigjson"),
        config_map({"a": PASSWORD}),
        'ConfigMap "tempo-conf": the key "a" has the value of the key ".dockerconfigjson" of Secret "login"; '
        f"{ONLY_SECRETS}",
    ),
    kept(
        "a private key and a token that are in no Secret",
        NAMESPACE,
        config_map({"tls.key": PEM, "license": f"license={JWT};"}),
        f'ConfigMap "tempo-conf": the key "tls.key" has a private key; {ONLY_SECRETS}',
        f'ConfigMap "tempo-conf": the key "license" has a JSON Web Token; {ONLY_SECRETS}',
    ),
    kept(
        "a value that is the name of its key, which the message leaves out",
        secret(PASSWORD),
        config_map({PASSWORD: PASSWORD}),
        'ConfigMap "tempo-conf": the key "[secret]" has the value of the key "token" of Secret "login"; '
        f"{ONLY_SECRETS}",
    ),
    Case(
        "node-ports-declared",
        "the tutorial's NodePort of another name",
        TUTORIAL[2:3],
        (
            'Service "tempo-svc": its type is NodePort; allowed: ClusterIP, or a name in the policy\'s configuration '
            '"allowed": nginx, tempo, grafana',
        ),
    ),
    Case(
        "node-ports-declared",
        "a LoadBalancer that the configuration leaves out",
        [service({"app": "nginx"}, name="nginx", kind="LoadBalancer")],
        (
            'Service "nginx": its type is LoadBalancer; allowed: ClusterIP, or a name in the policy\'s configuration '
            '"allowed": tempo',
        ),
        {"allowed": ["tempo"]},
    ),
    Case(
        "node-ports-declared",
        "a ClusterIP that answers at an address outside",
        [of("v1", "Service", "x", spec={"selector": {}, "type": "ClusterIP", "externalIPs": ["203.0.113.5"]})],
        (
            'Service "x": it answers at the external addresses 203.0.113.5; allowed: none, or a name in the policy\'s '
            'configuration "allowed": nginx, tempo, grafana',
        ),
    ),
    Case(
        "one-namespace",
        "the tutorial's objects in two namespaces, and in none",
        [NAMESPACE, *TUTORIAL],
        (
            f'ConfigMap "tempo-conf": it names no namespace; {IN_TRACING}',
            f'Deployment "tempo": it names no namespace; {IN_TRACING}',
            f'Service "tempo-svc": it is in the namespace "apm"; {IN_TRACING}',
        ),
    ),
    Case(
        "one-namespace",
        "objects in the namespace that the provider wrote into them, though most are there",
        [workload(), config_map({}, namespace="default"), config_map({}, "other", "default")],
        (
            f'ConfigMap "tempo-conf": it is in the namespace {PROVIDERS}; {IN_TRACING}',
            f'ConfigMap "other": it is in the namespace {PROVIDERS}; {IN_TRACING}',
        ),
    ),
    Case(
        "one-namespace",
        "a stack with no namespace at all",
        [config_map({}, namespace=None)],
        ('ConfigMap "tempo-conf": it names no namespace; allowed: one namespace, named by each object',),
    ),
]

ACCEPTED = [
    image("localhost:5000/lab/tempo:v1.5.1-0.2", "a tag behind a registry with a port"),
    image(f"nginx@sha256:{'0' * 64}", "a digest without a tag"),
    image(f"nginx:latest@sha256:{'0' * 64}", "a digest, whatever the tag"),
    image(UNKNOWN_STRING_VALUE, "an image that only the update knows"),
    Case(
        "services-select-pods",
        "a Service of one workload, by a port's name and by number",
        [
            workload(),
            workload(name="nginx"),
            workload(namespace="elsewhere"),
            service(
                {"app": "tempo"}, {"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 3200}, {"port": 3}
            ),
        ],
    ),
    Case("services-select-pods", "an ExternalName, which has no pods", [service(None, kind="ExternalName")]),
    Case("one-namespace", "a stack that uses a namespace which exists", [workload(), config_map({})]),
    Case(
        "one-namespace",
        "a stack that uses the namespace default as it is",
        [workload(namespace="default"), config_map({}, namespace="default")],
    ),
    Case(
        "services-select-pods",
        "selectors, labels and ports that only the update knows",
        [
            workload(),
            workload(container(ports=[{"name": UNKNOWN_STRING_VALUE}]), name="nginx"),
            service(UNKNOWN_OBJECT_VALUE),
            service(None, kind=UNKNOWN_STRING_VALUE),
            service({"app": UNKNOWN_STRING_VALUE}),
            service({"app": "tempo"}, namespace=UNKNOWN_STRING_VALUE),
            service({"app": "nginx"}, {"port": 1, "targetPort": "web"}),
        ],
    ),
    *(
        Case("probes-and-resources", f"a {kind} with all of it", [workload(kind=kind)])
        for kind in ("Deployment", "Pod")
    ),
    *(
        Case(
            "probes-and-resources",
            f"a {kind} without probes",
            [workload(container(readinessProbe=None, livenessProbe=None), kind=kind)],
        )
        for kind in ("Job", "CronJob")
    ),
    Case(
        "probes-and-resources",
        "an init container without probes",
        [workload(initContainers=[container(readinessProbe=None, livenessProbe=None)])],
    ),
    Case(
        "probes-and-resources",
        "probes and resources that only the update knows",
        [
            workload(container(readinessProbe=UNKNOWN_OBJECT_VALUE, resources=UNKNOWN_OBJECT_VALUE)),
            workload(
                container(resources={"requests": UNKNOWN_OBJECT_VALUE, "limits": {"memory": UNKNOWN_STRING_VALUE}})
            ),
        ],
    ),
    kept(
        "the address of a server, without a login or a path",
        secret("url: http://prometheus.tracing.svc:9090\npassword: hunter2-hunter2-hunter2"),
        config_map({"a": "url: http://prometheus.tracing.svc:9090/api/v1/write"}),
    ),
    *(
        restricted(f"a {kind} of the standard", workload(kind=kind))
        for kind in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod")
    ),
    restricted(
        "a container that says for itself what the pod does not",
        workload(security(runAsNonRoot=True, seccompProfile={"type": "Localhost"}), securityContext=None),
    ),
    restricted(
        "a low port, and the volumes of the standard",
        workload(
            security(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, runAsUser=101.0),
            volumes=[{"name": kind, kind: {}} for kind in VOLUMES.split(", ")] + [{"name": "unset", "hostPath": None}],
            hostNetwork=False,
        ),
    ),
    restricted(
        "security contexts that only the update knows",
        workload(container(securityContext=UNKNOWN_OBJECT_VALUE), securityContext=UNKNOWN_OBJECT_VALUE),
    ),
    restricted(
        "fields that only the update knows",
        workload(
            container(
                ports=[{"hostPort": UNKNOWN_NUMBER_VALUE}],
                securityContext={
                    "allowPrivilegeEscalation": UNKNOWN_STRING_VALUE,
                    "readOnlyRootFilesystem": UNKNOWN_STRING_VALUE,
                    "capabilities": {"drop": [UNKNOWN_STRING_VALUE], "add": UNKNOWN_ARRAY_VALUE},
                },
            )
        ),
    ),
    kept("another text than the Secret's", secret(PASSWORD), config_map({"a": "incorrect horse", "empty": None})),
    kept(
        "a user's name, which is no secret",
        of("v1", "Secret", "login", stringData={"_user": "prometheus"}),
        config_map({"prometheus.yaml": "url: http://prometheus.tracing.svc:9090"}),
    ),
    kept("a value too short to be sought", secret("tracing"), config_map({"a": "tracing"})),
    kept("a short line of a Secret's document", secret("otel: {\nx: 0123456789\n"), config_map({"a": "x: 0123456789"})),
    kept(
        "a certificate, whose first line every certificate has",
        secret("-----BEGIN CERTIFICATE-----\nMIIBone0123456789\n-----END CERTIFICATE-----\n"),
        config_map({"ca.crt": "-----BEGIN CERTIFICATE-----\nMIIBother01234567\n-----END CERTIFICATE-----\n"}),
    ),
    kept(
        "a container that takes the value from the Secret",
        secret(PASSWORD),
        workload(container(env=[{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "login", "key": "token"}}}])),
    ),
    kept(
        "values that only the update knows, and Secrets that are no text",
        of("v1", "Secret", "login", stringData=UNKNOWN_OBJECT_VALUE, data={"a": UNKNOWN_STRING_VALUE, "b": "/////w=="}),
        config_map({"a": UNKNOWN_STRING_VALUE}, binaryData=UNKNOWN_OBJECT_VALUE),
    ),
    Case(
        "node-ports-declared",
        "the program's two NodePorts, and any ClusterIP",
        [service({}, name=name, kind="NodePort") for name in ("nginx", "tempo")] + [service({}, name="x", kind=None)],
    ),
    Case(
        "node-ports-declared",
        "a name that the configuration adds",
        [service({}, name="grafana", kind="LoadBalancer")],
        configuration={"allowed": ["grafana"]},
    ),
    Case(
        "node-ports-declared",
        "a type or a name that only the update knows",
        [service({}, kind=UNKNOWN_STRING_VALUE, name="x"), service({}, kind="NodePort", name=UNKNOWN_STRING_VALUE)],
    ),
    Case(
        "one-namespace",
        "objects of one namespace, and those that are in none",
        [NAMESPACE, workload(), config_map({}), of("rbac.authorization.k8s.io/v1", "ClusterRole", "reader", None)],
    ),
    Case(
        "one-namespace",
        "a namespace that only the update knows",
        [NAMESPACE, workload(), config_map({}, namespace=UNKNOWN_STRING_VALUE)],
    ),
]


def named(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=f"{case.policy}: {case.sentence}") for case in cases]


@pytest.mark.parametrize("case", named(REFUSED))
def test_a_policy_refuses_with_these_words(case: Case) -> None:
    assert case.messages
    assert PACK.judge(case.policy, case.objects, case.configuration) == list(case.messages)


@pytest.mark.parametrize("case", named(ACCEPTED))
def test_a_policy_accepts(case: Case) -> None:
    assert PACK.judge(case.policy, case.objects, case.configuration) == []


def test_the_pack_is_mandatory_and_has_a_refusal_and_an_acceptance_of_each_of_its_policies() -> None:
    assert PACK.name == "nginx-tracing"
    assert PACK.enforcement_level is pulumi_policy.EnforcementLevel.MANDATORY
    assert all(policy.enforcement_level is None for policy in PACK.policies.values()), "the pack's own level holds"
    assert list(PACK.policies) == [
        "images-pinned",
        "services-select-pods",
        "probes-and-resources",
        "restricted-security-context",
        "no-secrets-in-config-maps",
        "node-ports-declared",
        "one-namespace",
    ]
    assert {case.policy for case in REFUSED} == {case.policy for case in ACCEPTED} == set(PACK.policies)


def test_the_tutorials_stack_is_refused_by_every_policy_that_its_faults_concern() -> None:
    refused = {policy for policy in PACK.policies if PACK.judge(policy, TUTORIAL)}
    assert refused == set(PACK.policies) - {"no-secrets-in-config-maps"}


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod"])
def test_the_pods_of_every_kind_of_workload_are_looked_at(kind: str) -> None:
    bare: Object = {"name": "main", "image": "nginx", "env": [{"name": "PASSWORD", "value": PASSWORD}]}
    stack = [secret(PASSWORD), workload(bare, kind=kind)]
    for policy in (
        "images-pinned",
        "probes-and-resources",
        "restricted-security-context",
        "no-secrets-in-config-maps",
    ):
        messages = PACK.judge(policy, stack)
        assert messages, policy
        assert all(message.startswith(f'{kind} "tempo", container "main": ') for message in messages)


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "abcd"])
@pytest.mark.parametrize("after", ["", "y", "yz"])
def test_a_secret_is_found_wherever_it_begins_in_an_encoded_text_and_is_in_no_message(before: str, after: str) -> None:
    value = "ÿ~correct?horse>"
    for text in (encoded(before + value + after), base64.urlsafe_b64encode((before + value + after).encode()).decode()):
        (message,) = PACK.judge("no-secrets-in-config-maps", [secret(value), config_map({"a": text})])
        assert value not in message
        assert text not in message


ODD: list[Object] = [
    {},
    {"spec": None, "data": None, "metadata": None},
    {"spec": UNKNOWN_OBJECT_VALUE, "data": UNKNOWN_OBJECT_VALUE, "metadata": UNKNOWN_OBJECT_VALUE},
    {"spec": "text", "data": ["list"], "metadata": {"name": 1.0, "namespace": {}}},
    {"spec": {"template": {"spec": {"containers": [None, "text", UNKNOWN_OBJECT_VALUE, {}]}}, "ports": [None]}},
    {"spec": {"containers": UNKNOWN_ARRAY_VALUE, "volumes": [{}], "selector": ["list"], "type": 1.0}},
]
"""What objects are made of that no cluster takes, or that a preview knows nothing of."""


@pytest.mark.parametrize("content", ODD)
@pytest.mark.parametrize("kind", ["Deployment", "CronJob", "Pod", "Service", "ConfigMap", "Secret", "Namespace"])
def test_no_policy_fails_on_an_object_that_is_incomplete_or_not_what_it_should_be(kind: str, content: Object) -> None:
    item: Object = {"apiVersion": "v1", "kind": kind} | content
    for policy in PACK.policies:
        for message in PACK.judge(policy, [item, workload(), service({"app": "tempo"}), config_map({"a": "b"})]):
            assert "Unknown" not in message, policy


def test_resources_that_are_no_kubernetes_objects_are_left_alone() -> None:
    release: Object = {"apiVersion": "helm.sh/v3", "kind": None, "name": "grafana", "spec": {"type": "NodePort"}}
    elsewhere = service(None, kind="NodePort", name="elsewhere")
    for policy in PACK.policies:
        assert PACK.judge(policy, [release]) == []
        assert PACK.judge(policy, [elsewhere], package="other") == []


def test_an_object_that_the_cluster_names_is_called_by_its_resources_name() -> None:
    item = config_map({"a": PEM})
    del item["metadata"]["name"]
    (message,) = PACK.judge("no-secrets-in-config-maps", [item])
    assert message == f'ConfigMap "resource-0": the key "a" has a private key; {ONLY_SECRETS}'


@pytest.mark.parametrize("case", golden.cases())
def test_the_program_itself_is_accepted_by_every_policy(case: str, run_program: Run) -> None:
    values = golden.configuration(case)
    program = run_program(golden.as_pulumi_passes_it(values), secrets=list(values))
    objects = [deserialize_properties(inputs) for inputs in program.objects()]
    assert len(objects) > 4
    for policy in PACK.policies:
        assert PACK.judge(policy, objects) == [], policy
