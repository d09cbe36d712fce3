"""Lists the build targets of the lab.

Versions are in each target's go.mod or Cargo.toml and nowhere else, except those that a program is stamped with.

The usual seconds were measured one after the other on two idle cores, when targets still had debugging information and
whole SDKs. Those of Go programs are scaled since by CPU seconds (`GOCACHE=$(mktemp -d) time go build -p 2 …`): by
230/618 for the Kubernetes provider and by 73/84, which the settings in `lab.build.go` save, for the others. CoreDNS
took 7 CPU seconds after Kubernetes, and the registry 32; promtool 152, and Prometheus 57 after it.
"""

from lab.build.go import go_target
from lab.build.nginx import NGINX, NGINX_PLUS
from lab.build.npm import npm_target

KUBERNETES = go_target(
    "kubernetes",
    "Kubernetes 1.32.2, etcd 3.5.16 and kubectl",
    335,
    stamp="k8s.io/component-base/version.gitVersion=v1.32.2",
    links=(
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        "kubectl",
    ),
)
KUBERNETES_1_36 = go_target(
    "kubernetes-1.36",
    "Kubernetes 1.36.3, etcd 3.6.8 and kubectl",
    470,
    stamp="k8s.io/component-base/version.gitVersion=v1.36.3",
    links=("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"),
)
KUBERNETES_PROVIDER = go_target(
    "pulumi-resource-kubernetes",
    "Pulumi's Kubernetes provider 4.25.0",
    180,
    embeds=tuple(
        ("github.com/pulumi/pulumi-kubernetes/provider/v4", f"cmd/pulumi-resource-kubernetes/{file}")
        for file in ("schema.json", "terraform-mapping.json")
    ),
)
PULUMI = go_target(
    "pulumi",
    "the Pulumi CLI 3.259.0",
    220,
    package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    stamp="github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.259.0",
)
LANGUAGE_HOST = go_target(
    "pulumi-language-python",
    "Pulumi's Python language host",
    20,
    package="github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
    copies=(("github.com/pulumi/pulumi/sdk/v3", "python/cmd/pulumi-language-python-exec"),),
)
TEMPO = go_target("tempo", "Grafana Tempo (a commit after 2.7.2)", 137, package="github.com/grafana/tempo/cmd/tempo")
COLLECTOR = go_target("otelcol", "the OpenTelemetry Collector 0.126.0", 121)
CURRENT_COLLECTOR = go_target("otelcol-0.160", "the OpenTelemetry Collector 0.160.0", 174)
NEXT_COLLECTOR = go_target("otelcol-0.165", "the OpenTelemetry Collector 0.165.0", 174)
"""A newer one than that of the current set: deep tests alone build it, and update a stack to it."""

# In one Go module with Kubernetes, CoreDNS uses the same versions of their common libraries, which Go compiles once.
COREDNS = go_target("coredns", "CoreDNS 1.11.3", 10, module="kubernetes", package="./coredns")
KUBE_ROUTER = go_target(
    "kube-router",
    "kube-router 2.1.0, which enforces NetworkPolicies",
    76,
    package="github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
)
REGISTRY = go_target("registry", "the image registry 3.0.0", 20)
DOCKER_BUILD_PROVIDER = go_target(
    "pulumi-resource-docker-build",
    "Pulumi's docker-build provider 0.0.22",
    148,
    package="github.com/pulumi/pulumi-docker-build/provider/cmd/pulumi-resource-docker-build",
    stamp="github.com/pulumi/pulumi-docker-build/provider.Version=0.0.22",
)
BUILDKIT = go_target("buildkitd", "BuildKit 0.31.1", 82, package="github.com/moby/buildkit/cmd/buildkitd")
_ONLY_KUBERNETES = "remove_all_sd,enable_kubernetes_sd"
"""Leaves out the clients of every cloud in which Prometheus could look for targets: a quarter of its packages."""

PROMTOOL = go_target(
    "promtool",
    "Prometheus' checker of rules",
    80,
    package="github.com/prometheus/prometheus/cmd/promtool",
    tags=_ONLY_KUBERNETES,
)
PROMETHEUS = go_target(
    "prometheus",
    "Prometheus 3.16.0",
    30,
    module="promtool",
    package="github.com/prometheus/prometheus/cmd/prometheus",
    tags=_ONLY_KUBERNETES,
)
S3_SERVER = go_target(
    "versitygw",
    "the S3 server versitygw 1.8.0",
    62,
    package="github.com/versity/versitygw/cmd/versitygw",
)
"""A bucket of it is a folder."""

GCS_SERVER = go_target(
    "fake-gcs-server",
    "the emulator of Google Cloud Storage fake-gcs-server 1.52.2",
    71,
    package="github.com/fsouza/fake-gcs-server",
)
"""Deep tests alone build it."""

AZURE_SERVER = npm_target("azurite", "the emulator of Azure Blob Storage azurite 3.37.0", 20)
"""One deep test alone installs it, on machines that have Node.js and npm. It takes 360 MB."""

VEGETA = go_target("vegeta", "the load generator vegeta 12.12.0", 17, package="github.com/tsenart/vegeta/v12")
CROSSPLANE = go_target("crossplane", "F5's checker of nginx.conf", 5)
ACTIONLINT = go_target(
    "actionlint",
    "the checker of GitHub workflows actionlint 1.7.12",
    9,
    package="github.com/rhysd/actionlint/cmd/actionlint",
)

KUBERNETES_VERSIONS = {"1.32": KUBERNETES, "1.36": KUBERNETES_1_36}
"""By version. The lab runs the first one unless it is asked for another: `lab.cluster.version`."""

COLLECTORS = {"current": CURRENT_COLLECTOR, "tutorial": COLLECTOR}
"""By set of versions. No other program differs here: the lab can build one NGINX and one Tempo."""

CLUSTER_TARGETS = (COREDNS, KUBE_ROUTER, REGISTRY)
OSS_STACK_TARGETS = (PULUMI, LANGUAGE_HOST, KUBERNETES_PROVIDER, TEMPO, NGINX)
ON_DEMAND_TARGETS = (DOCKER_BUILD_PROVIDER,)
"""Targets that are built when they are first started."""

TEST_TARGETS = (
    NGINX_PLUS,
    BUILDKIT,
    PROMTOOL,
    PROMETHEUS,
    S3_SERVER,
    GCS_SERVER,
    AZURE_SERVER,
    VEGETA,
    CROSSPLANE,
    ACTIONLINT,
    NEXT_COLLECTOR,
)
"""Targets that only tests and measurements use: they build what they need."""

ALL_TARGETS = (
    *KUBERNETES_VERSIONS.values(),
    *COLLECTORS.values(),
    *CLUSTER_TARGETS,
    *OSS_STACK_TARGETS,
    *ON_DEMAND_TARGETS,
    *TEST_TARGETS,
)
