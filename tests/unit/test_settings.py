"""The configuration: what is accepted, and how it is read."""

import re
from typing import Any

import pulumi
import pytest
from pulumi.runtime import set_all_config

import settings
from lab.paths import REPOSITORY
from lab.stack import STACK_FILES
from settings.errors import repeated
from tests import golden
from tests.unit.test_bad_input import refusal

EVERY_KNOB = "every-knob/config.yaml"


def configure(**values: Any) -> None:
    """Sets the stack's configuration as the engine passes it."""
    text = golden.as_pulumi_passes_it(values)
    set_all_config({f"nginx-tracing:{key}": value for key, value in text.items()}, [])


RELEASES = "ghcr.io/open-telemetry/opentelemetry-collector-releases"
"""The folder of the Collector's images."""


@pytest.mark.parametrize(
    ("versions", "images", "release"),
    [
        (
            {},
            {
                "nginx": "nginx:1.30.7-otel",
                "collector": f"{RELEASES}/opentelemetry-collector-k8s:0.160.0",
                "tempo": "grafana/tempo:2.10.8",
                "gateway": "nginx:1.30.7-otel",
            },
            "R37.0",
        ),
        (
            {"versions": "tutorial"},
            {
                "nginx": "nginx:1.27.4-otel",
                "collector": "otel/opentelemetry-collector-k8s:0.126.0",
                "tempo": "grafana/tempo:2.7.2",
                "gateway": "nginx:1.27.4-otel",
            },
            "R34",
        ),
    ],
)
def test_a_set_of_versions_has_its_images(versions: dict[str, Any], images: dict[str, str], release: str) -> None:
    configure(**versions)
    loaded = settings.load()
    assert loaded.images() == images
    assert loaded.plus.chosen_release == release


def test_an_image_that_is_named_wins_over_the_set() -> None:
    configure(versions="tutorial", tempo={"image": "grafana/tempo:2.9.5"}, plus={"release": "R36"})
    loaded = settings.load()
    assert loaded.images()["tempo"] == "grafana/tempo:2.9.5"
    assert loaded.images()["nginx"] == "nginx:1.27.4-otel"
    assert loaded.plus.chosen_release == "R36"
    assert loaded.collector.release.version == (0, 126, 0)


def test_a_key_that_is_encrypted_and_stays_no_secret_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    values = golden.as_pulumi_passes_it(
        {
            "nginx": {"extraConfig": {"server": "proxy_set_header Authorization hunter2;"}},
            "collector": {"exporters": {"vendor": {"endpoint": "v.example:4317", "headers": {"key": "hunter3"}}}},
            "namespace": "tracing",
        }
    )
    named = {f"nginx-tracing:{key}": value for key, value in values.items()}
    set_all_config(named, ["nginx-tracing:nginx", "nginx-tracing:collector"])
    settings.load()
    (warning,) = said
    assert warning.startswith("nginx is encrypted in the stack's file, and nothing in it stays secret")
    assert "hunter" not in warning


def test_structured_keys_are_read_by_their_names_in_the_configuration() -> None:
    configure(nginx={"replicas": 3, "nodePort": 30080, "serviceName": "shop"}, tempo={"nodePort": 30310})
    loaded = settings.load()
    assert (loaded.nginx.replicas, loaded.nginx.node_port, loaded.nginx.service_name) == (3, 30080, "shop")
    assert loaded.tempo.node_port == 30310


@pytest.mark.parametrize(
    "image",
    [
        "nginx:1.27.4-otel",
        "localhost:5000/lab/nginx-otel:1.28.3",
        "registry.example/team/nginx@sha256:" + "0" * 64,
        "otel/opentelemetry-collector:0.126.0@sha256:" + "a" * 64,
    ],
)
def test_a_pinned_image_is_taken(image: str) -> None:
    configure(nginx={"image": image})
    assert settings.load().nginx.image == image


def test_the_example_stacks_are_valid() -> None:
    for file in ("Pulumi.dev.yaml", *STACK_FILES.values()):
        configure(**golden.of_stack_file((REPOSITORY / file).read_text()))
        settings.load()


def test_what_pulumi_config_set_stores_is_taken_as_it_is_meant() -> None:
    # With --path it stores `true` and `7` as a boolean and a number, and 0.5 as text.
    configure(
        labels={"traced": True, "version": 7},
        nginx={"sampling": {"ratio": "0.5"}, "serviceName": 7, "resources": {"cpu": 2}},
    )
    loaded = settings.load()
    assert loaded.labels == {"traced": "true", "version": "7"}
    assert (str(loaded.nginx.sampling.ratio), loaded.nginx.service_name) == ("0.5", "7")
    assert loaded.nginx.resources.cpu == "2"


def test_a_password_may_look_like_json() -> None:
    # Google's registry takes a service account's key as it is.
    password = '{"type": "service_account"}'  # noqa: S105
    text = {"registryUsername": "_json_key", "registryPassword": password, "imageRegistry": "mirror.example"}
    set_all_config({f"nginx-tracing:{key}": value for key, value in text.items()}, ["nginx-tracing:registryPassword"])
    loaded = settings.load().registry_password
    assert loaded
    assert loaded.get_secret_value() == password


def test_nothing_is_nothing_with_a_sign_too() -> None:
    configure(nginx={"sampling": {"ratio": "-0"}})
    assert str(settings.load().nginx.sampling.ratio) == "0"


def _bundle() -> str:
    *_, bundle = re.findall(
        r"-----BEGIN CERT.*?END CERTIFICATE-----\n", (golden.FOLDER / EVERY_KNOB).read_text(), re.DOTALL
    )
    return re.sub("^ +", "", bundle, flags=re.MULTILINE)


def test_text_between_certificates_is_left_out() -> None:
    bundle = _bundle()
    tls = {"caBundle": f"# Autorité de certification\n{bundle}# and again\n{bundle}"}
    configure(collector={"exporters": {"mine": {"endpoint": "otlp.example:4317", "tls": tls}}})
    assert settings.load().collector.exporters["mine"].tls.ca_bundle == bundle * 2


@pytest.mark.parametrize("header", ["Content-Type", "te", "Host", "User-Agent"])
def test_an_export_over_http_may_have_headers_that_grpc_sets_itself(header: str) -> None:
    exporter = {"endpoint": "https://otlp.example", "protocol": "http", "headers": {header: "x"}}
    values = golden.as_pulumi_passes_it({"collector": {"exporters": {"a": exporter}}})
    set_all_config({f"nginx-tracing:{key}": value for key, value in values.items()}, ["nginx-tracing:collector"])
    assert header in settings.load().collector.exporters["a"].headers


@pytest.mark.parametrize("size", ["500Mi", "1G", "10Gi"])
def test_a_volume_for_traces_holds_a_block_at_least(size: str) -> None:
    configure(tempo={"persistence": {"size": size}})
    assert settings.load().tempo.persistence.size == size


@pytest.mark.parametrize("location", ["/new/", "/new$request_uri", "http://[::1]/", "https://a.example:8443/?a=b#c"])
def test_a_redirect_may_lead_anywhere(location: str) -> None:
    configure(nginx={"routes": [{"path": "/", "return": {"status": 301, "location": location}}]})
    settings.load()


@pytest.mark.parametrize(
    "endpoint", ["https://otlp.example", "https://otlp.example/otlp/", "http://[::1]:4318", "http://127.0.0.1:1/a.b/~c"]
)
def test_an_http_endpoint_may_have_a_path_and_need_not_have_a_port(endpoint: str) -> None:
    tls = {"enabled": endpoint.startswith("https")}
    configure(collector={"exporters": {"a": {"endpoint": endpoint, "protocol": "http", "tls": tls}}})
    settings.load()


def test_variables_that_extra_directives_make_can_be_used() -> None:
    route = {"path": "/", "root": "/srv", "extraConfig": "set $shard 1;", "spanName": "$shard ${tier}"}
    configure(nginx={"extraConfig": {"http": "map $host $tier { default a; }"}, "routes": [route]})
    settings.load()


def test_a_part_of_the_resources_leaves_the_component_s_own_defaults_for_the_rest() -> None:
    configure(tempo={"resources": {"cpu": "1"}}, collector={"resources": {"cpu": "1"}})
    loaded = settings.load()
    assert (loaded.tempo.resources.memory, loaded.tempo.resources.memory_limit) == ("256Mi", "2000Mi")
    assert (loaded.collector.resources.memory, loaded.collector.resources.memory_limit) == ("128Mi", "500Mi")


@pytest.mark.parametrize(
    ("image", "mirrored"),
    [
        # What Docker Hub calls so is in `library` there, and a cache asks for it by that name alone.
        ("nginx:1.27.5-otel", "mirror.example/a/library/nginx:1.27.5-otel"),
        ("library/nginx:1.27.5-otel", "mirror.example/a/library/nginx:1.27.5-otel"),
        ("docker.io/nginx:1.27.5-otel", "mirror.example/a/library/nginx:1.27.5-otel"),
        ("docker.io/library/nginx:1.27.5-otel", "mirror.example/a/library/nginx:1.27.5-otel"),
        ("nginx@sha256:" + "0" * 64, "mirror.example/a/library/nginx@sha256:" + "0" * 64),
        ("nginxinc/nginx-unprivileged:1.29.1-otel", "mirror.example/a/nginxinc/nginx-unprivileged:1.29.1-otel"),
        # No other registry has such a folder.
        ("registry.example/nginx:1.27.5-otel", "mirror.example/a/nginx:1.27.5-otel"),
        ("localhost:5000/lab/nginx-otel:1.28.3", "mirror.example/a/lab/nginx-otel:1.28.3"),
        ("registry.example:5000/team/nginx@sha256:" + "0" * 64, "mirror.example/a/team/nginx@sha256:" + "0" * 64),
        ("team/nginx@sha256:" + "0" * 64, "mirror.example/a/team/nginx@sha256:" + "0" * 64),
        # Written with the mirror's registry: as it is, in another folder of it too.
        ("mirror.example/a/nginx:1.27.5-otel", "mirror.example/a/nginx:1.27.5-otel"),
        ("mirror.example/ghcr/team/nginx:1.27.5-otel", "mirror.example/ghcr/team/nginx:1.27.5-otel"),
    ],
)
def test_a_mirror_takes_the_place_of_an_image_s_registry(image: str, mirrored: str) -> None:
    configure(nginx={"image": image}, imageRegistry="mirror.example/a", versions="tutorial")
    loaded = settings.load()
    assert loaded.images()["nginx"] == mirrored
    assert loaded.images()["tempo"] == "mirror.example/a/grafana/tempo:2.7.2"
    assert loaded.registries() == {"mirror.example"}


@pytest.mark.parametrize(
    ("distribution", "image"),
    [
        ("core", f"{RELEASES}/opentelemetry-collector:0.160.0"),
        ("k8s", f"{RELEASES}/opentelemetry-collector-k8s:0.160.0"),
        ("contrib", f"{RELEASES}/opentelemetry-collector-contrib:0.160.0"),
    ],
)
def test_a_distribution_of_the_collector_has_its_own_image(distribution: str, image: str) -> None:
    configure(collector={"distribution": distribution})
    assert settings.load().images()["collector"] == image


def test_docker_hub_has_one_name_whatever_an_image_calls_it() -> None:
    configure(nginx={"image": "docker.io/library/nginx:1.27.5-otel"}, versions="tutorial")
    assert settings.load().registries() == {"https://index.docker.io/v1/"}


@pytest.mark.parametrize(
    ("values", "registries"),
    [
        ({"registryAddress": "ghcr.io", "collector": {"image": "ghcr.io/a/b:1"}}, {"ghcr.io"}),
        ({"registryAddress": "docker.io"}, {"https://index.docker.io/v1/"}),
        # A user of one is not sent to the other.
        (
            {"edition": "plus", "plus": {"repository": "registry.example/a"}},
            {"registry.example", "ghcr.io", "https://index.docker.io/v1/"},
        ),
        (
            {"edition": "plus", "plus": {"repository": "registry.example/a"}, "imageRegistry": "mirror.example"},
            {"registry.example", "mirror.example"},
        ),
    ],
)
def test_the_registry_of_the_login_is_known_or_asked_for(values: dict[str, Any], registries: set[str]) -> None:
    assert settings.Settings.model_validate(values).registries() == registries


def test_each_repetition_is_named_with_the_first_of_its_kind() -> None:
    assert list(repeated(["a", "b", "a", "c", "a", "b"])) == [(2, 0), (4, 0), (5, 1)]


@pytest.mark.parametrize(
    "values",
    [
        {"labels": {"istio-injection": "disabled", "sidecar.istio.io/inject": "false"}},
        {"labels": {"istio-injection": "enabled"}, "networkPolicies": False},
        {"annotations": {"linkerd.io/inject": "enabled"}, "networkPolicies": False, "createNamespace": False},
    ],
    ids=str,
)
def test_pods_may_stay_out_of_a_mesh_or_join_it_without_network_policies(values: dict[str, Any]) -> None:
    assert refusal(values, []) == ""


_PORT_80 = "service.beta.kubernetes.io/linode-loadbalancer-port-80"
_BALANCED = {"type": "LoadBalancer", "annotations": {"loadbalancer.openstack.org/proxy-protocol": "true"}}


@pytest.mark.parametrize(
    "nginx",
    [
        {"service": _BALANCED, "trustedProxies": {"addresses": ["10.0.0.0/8"], "protocol": "proxyProtocol"}},
        {"service": _BALANCED, "extraConfig": {"server": "listen 8080 backlog=511 proxy_protocol;"}},
        {"service": _BALANCED | {"annotations": {"loadbalancer.openstack.org/proxy-protocol": "false"}}},
        *(
            {"service": _BALANCED | {"annotations": {"loadbalancer.openstack.org/proxy-protocol": value}}}
            for value in ("no", "0", "disabled", "None")
        ),
        {"service": _BALANCED | {"annotations": {_PORT_80: '{"proxy-protocol": "none"}'}}},
        {"service": _BALANCED | {"annotations": {_PORT_80.replace("80", "443"): '{"proxy-protocol": "v2"}'}}},
        {"service": _BALANCED | {"type": "ClusterIP"}},
        {"service": _BALANCED | {"annotations": {"service.beta.kubernetes.io/aws-load-balancer-ssl-ports": "443, 80"}}},
    ],
    ids=str,
)
def test_a_load_balancer_may_use_the_proxy_protocol_and_tls_if_nginx_s_service_fits(nginx: dict[str, Any]) -> None:
    assert refusal({"nginx": nginx}, []) == ""


@pytest.mark.parametrize(
    "values",
    [
        # Istio obeys the pod's own word, and Linkerd reads annotations alone.
        {"labels": {"istio.io/rev": "stable", "sidecar.istio.io/inject": "false"}},
        {"labels": {"linkerd.io/inject": "enabled"}},
        {"annotations": {"istio-injection": "enabled"}},
        {"labels": {"istio.io/dataplane-mode": "none"}},
        {"labels": {"istio.io/dataplane-mode": "ambient"}, "networkPolicies": False},
        # A public name, whatever its third label is.
        {"nginx": {"routes": [{"path": "/", "upstream": "https://api.eu.svc.example.com:443"}]}},
    ],
    ids=str,
)
def test_what_brings_no_pod_into_a_mesh_and_what_is_no_service_is_taken(values: dict[str, Any]) -> None:
    assert refusal(values, []) == ""


@pytest.mark.parametrize(
    "path",
    [
        *("/Products(1)/", "/things:batch", "/a+b/", "/a,b;c=d/", "/~user/", "/a.b*c/", "/{a};b/"),
        *("/:w:/g/", "/_next/[user-id].js", "/_next/[[...slug]]/page.js", "/v2/$metadata"),
    ],
)
def test_a_path_may_have_the_letters_that_urls_have(path: str) -> None:
    assert refusal({"nginx": {"routes": [{"path": path, "return": {"status": 200}}]}}, []) == ""
