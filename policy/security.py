"""Checks how pods run: the *restricted* Pod Security Standard of Kubernetes 1.32, and a read-only root.

The standard is https://kubernetes.io/docs/concepts/security/pod-security-standards/; the module
k8s.io/pod-security-admission has its checks. The cluster refuses only pods, when they are made; this rule also refuses
the workloads that would make them.
"""

from collections.abc import Iterator
from typing import Final

from objects import UNKNOWN, Object, containers, items, mapping, pod_spec, pod_template, read, sequence, texts, title

VOLUME_KINDS: Final = (
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
)
PROFILES: Final = ("RuntimeDefault", "Localhost")
SELINUX_TYPES: Final = ("container_t", "container_init_t", "container_kvm_t", "container_engine_t")
SYSCTLS: Final = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
)
APPARMOR_ANNOTATION: Final = "container.apparmor.security.beta.kubernetes.io/"


def restricted_security_context(item: Object) -> list[str]:
    """Requires pods to meet the *restricted* Pod Security Standard of Kubernetes 1.32, with a read-only root.

    It is for Linux: the rule does not make the exemptions that the standard makes for Windows pods.
    """
    pod = pod_spec(item)
    messages = [f"{title(item)}: {wrong}" for wrong in _wrong_in_pod(pod_template(item) or {})]
    for place, container in containers(item, "initContainers", "containers", "ephemeralContainers"):
        messages += [f"{place}: {wrong}" for wrong in _wrong_in_container(container, mapping(pod, "securityContext"))]
    return messages


def _wrong_in_pod(template: Object) -> Iterator[str]:
    pod = mapping(template, "spec")
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if read(pod, field) is True:
            yield f"{field} is true; allowed: false"
    for volume in items(pod, "volumes"):
        kinds = [key for key, value in volume.items() if key != "name" and value is not None]
        for kind in [kind for kind in kinds if kind not in VOLUME_KINDS]:
            yield f'the volume "{volume.get("name")}" is of the kind {kind}; allowed: {", ".join(VOLUME_KINDS)}'
    for sysctl in items(pod, "securityContext", "sysctls"):
        if sysctl.get("name") not in (*SYSCTLS, UNKNOWN):
            yield f"the sysctl {sysctl.get('name')} is set; allowed: {', '.join(SYSCTLS)}"
    for key, profile in texts(template, "metadata", "annotations"):
        # The annotation is the form from before Kubernetes 1.30, which still reads it.
        safe = profile in ("", "runtime/default") or profile.startswith("localhost/")
        if key.startswith(APPARMOR_ANNOTATION) and not safe:
            yield f"the annotation {key} is {profile}; allowed: runtime/default, localhost/…"
    # A wrong value in the pod is refused even if every container overrides it. A value that the pod does not set may be
    # set in each container.
    if read(pod, "securityContext", "runAsNonRoot") is False:
        yield "securityContext.runAsNonRoot is false; allowed: true"
    yield from _wrong_in_both(mapping(pod, "securityContext"))
    seccomp = read(pod, "securityContext", "seccompProfile", "type")
    if seccomp not in (*PROFILES, None, UNKNOWN):
        yield f"securityContext.seccompProfile.type is {seccomp}; allowed: {', '.join(PROFILES)}"


def _wrong_in_container(container: Object, pod: Object) -> Iterator[str]:
    own = read(container, "securityContext")
    root = read(own, "runAsNonRoot")
    if root not in (True, None, UNKNOWN) or (root is None and read(pod, "runAsNonRoot") is None):
        yield f"securityContext.runAsNonRoot is {_said(root)}; allowed: true, here or in the pod"
    seccomp = read(own, "seccompProfile", "type")
    if seccomp not in (*PROFILES, None, UNKNOWN) or (seccomp is None and read(pod, "seccompProfile", "type") is None):
        allowed = f"{', '.join(PROFILES)}, here or in the pod"
        yield f"securityContext.seccompProfile.type is {_said(seccomp)}; allowed: {allowed}"
    escalation = read(own, "allowPrivilegeEscalation")
    if escalation not in (False, UNKNOWN):
        yield f"securityContext.allowPrivilegeEscalation is {_said(escalation)}; allowed: false"
    if read(own, "privileged") is True:
        yield "securityContext.privileged is true; allowed: false"
    yield from _wrong_capabilities(own)
    yield from _wrong_in_both(own)
    mount = read(own, "procMount")
    if mount not in (None, "Default", UNKNOWN):
        yield f"securityContext.procMount is {mount}; allowed: Default"
    for port in items(container, "ports"):
        if port.get("hostPort") not in (None, 0, UNKNOWN):
            yield f"hostPort {_said(port['hostPort'])} is opened on the node; allowed: none"
    read_only = read(own, "readOnlyRootFilesystem")
    if read_only not in (True, UNKNOWN):
        yield f"securityContext.readOnlyRootFilesystem is {_said(read_only)}; allowed: true"


def _wrong_capabilities(own: object) -> Iterator[str]:
    dropped = read(own, "capabilities", "drop")
    if dropped is not UNKNOWN and not any(name in ("ALL", UNKNOWN) for name in sequence(dropped)):
        yield "securityContext.capabilities.drop has no ALL; allowed: a list with ALL"
    added = [name for name in sequence(own, "capabilities", "add") if name not in ("NET_BIND_SERVICE", UNKNOWN)]
    if added:
        yield f"securityContext.capabilities.add has {', '.join(map(str, added))}; allowed: NET_BIND_SERVICE"


def _wrong_in_both(context: object) -> Iterator[str]:
    """Yields what neither a pod's nor a container's security context may have."""
    if read(context, "runAsUser") == 0:
        yield "securityContext.runAsUser is 0; allowed: another user, or none"
    if read(context, "windowsOptions", "hostProcess") is True:
        yield "securityContext.windowsOptions.hostProcess is true; allowed: false"
    profile = read(context, "appArmorProfile", "type")
    if profile not in (None, UNKNOWN, *PROFILES):
        yield f"securityContext.appArmorProfile.type is {profile}; allowed: {', '.join(PROFILES)}"
    label = read(context, "seLinuxOptions", "type")
    if label not in (None, "", UNKNOWN, *SELINUX_TYPES):
        yield f"securityContext.seLinuxOptions.type is {label}; allowed: {', '.join(SELINUX_TYPES)}"
    for field in ("user", "role"):
        value = read(context, "seLinuxOptions", field)
        if value not in (None, "", UNKNOWN):
            yield f"securityContext.seLinuxOptions.{field} is {value}; allowed: none"


def _said(value: object) -> str:
    """Returns a value as YAML writes it; None is `not set`."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    # Pulumi passes all numbers as floats.
    return f"{value:.0f}" if isinstance(value, float) else str(value)
