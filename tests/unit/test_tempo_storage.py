"""Tests what Tempo's pods get for a bucket: the document, the keys, the account, and the way there."""

import json
from typing import Any

import pytest

from components.documents.tempo import tempo_document
from components.documents.tempo_storage import storage_access
from components.tempo_pods import FLUSH_SECONDS, GRACE_SECONDS
from settings import Settings
from settings.tempo_storage_rules import storage_warnings
from tests import golden
from tests.unit.conftest import SECRET_MARK, Program, Run
from tests.unit.test_bad_input import refusal

S3 = {"type": "s3", "bucket": "traces", "region": "eu-central-1"}
S3_KEYS = {"tempoStorageAccessKey": "canary-access", "tempoStorageSecretKey": "canary-secret"}
ROLE = "arn:aws:iam::123456789012:role/tempo"
GOOGLE_KEY = json.dumps(
    {
        "type": "service_account",
        "client_email": "tempo-traces@project.iam.gserviceaccount.com",
        "private_key": "canary-private",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
)
GCS = {"type": "gcs", "bucket": "traces"}
AZURE = {"type": "azure", "account": "ours", "bucket": "traces"}
CLIENT = "11111111-2222-3333-4444-555555555555"


def document(storage: dict[str, Any], **tempo: Any) -> dict[str, Any]:
    return tempo_document(Settings.model_validate({"tempo": {"storage": storage, **tempo}}).tempo)


def run(run_program: Run, storage: dict[str, Any], keys: dict[str, str] | None = None, **tempo: Any) -> Program:
    keys = keys or {}
    return run_program(golden.as_pulumi_passes_it({"tempo": {"storage": storage, **tempo}, **keys}), secrets=[*keys])


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        (S3, {"bucket": "traces", "endpoint": "s3.eu-central-1.amazonaws.com", "region": "eu-central-1"}),
        (S3 | {"region": "cn-north-1"}, {"endpoint": "s3.cn-north-1.amazonaws.com.cn"}),
        (S3 | {"prefix": "a/b", "endpoint": "http://s3.example:9000"}, {"prefix": "a/b", "insecure": True}),
        (
            S3 | {"endpoint": "https://s3.example/", "pathStyle": True},
            {"endpoint": "s3.example", "forcepathstyle": True},
        ),
        (GCS | {"prefix": "a"}, {"bucket_name": "traces", "prefix": "a"}),
        (
            GCS | {"endpoint": "http://gcs.test:4443"},
            {"endpoint": "http://gcs.test:4443/storage/v1/", "insecure": True},
        ),
        (AZURE, {"storage_account_name": "ours", "container_name": "traces"}),
        (
            AZURE | {"endpoint": "https://blob.core.usgovcloudapi.net"},
            {"endpoint_suffix": "blob.core.usgovcloudapi.net"},
        ),
        (AZURE | {"endpoint": "http://azurite.test:10000"}, {"endpoint_suffix": "azurite.test:10000"}),
        (AZURE | {"identity": CLIENT}, {"use_federated_token": True}),
    ],
)
def test_the_document_names_the_bucket_as_tempo_wants_it(storage: dict[str, Any], expected: dict[str, Any]) -> None:
    trace = document(storage)["storage"]["trace"]
    assert trace["backend"] == storage["type"]
    assert "local" not in trace
    assert expected.items() <= trace[storage["type"]].items()


def test_a_search_asks_the_bucket_for_the_newest_time_too() -> None:
    assert document(S3)["query_frontend"]["search"]["query_backend_after"] == "0s"
    assert "query_backend_after" not in document({})["query_frontend"]["search"]


@pytest.mark.parametrize(
    ("storage", "keys", "variables"),
    [
        (S3, S3_KEYS, {"AWS_ACCESS_KEY_ID": "canary-access", "AWS_SECRET_ACCESS_KEY": "canary-secret"}),
        (AZURE, {"tempoStorageAccountKey": "canaryaccountkey"}, {"AZURE_STORAGE_KEY": "canaryaccountkey"}),
    ],
)
def test_keys_are_in_a_secret_alone_and_tempo_reads_them_from_its_environment(
    storage: dict[str, Any], keys: dict[str, str], variables: dict[str, str], run_program: Run
) -> None:
    program = run(run_program, storage, keys)
    secret = program.inputs("Secret")["tempo-storage"]
    assert secret["stringData"] == {SECRET_MARK: "1b47061264138c4ac30d75fd1eb44270", "value": variables}
    # A new key makes a new Secret, and rolls the pod.
    assert "name" not in secret["metadata"]
    others = [made for made in program.objects() if made is not secret and made.get("kind") != "Secret"]
    assert "canary" not in str([others, program.outputs])
    tempo, gateway = program.pods()["tempo"]["spec"]["containers"]
    read = {env["name"]: env["valueFrom"]["secretKeyRef"] for env in tempo["env"] if "valueFrom" in env}
    assert read == {name: {"name": "tempo-storage-1a2b3c4d", "key": name} for name in variables}
    assert not [env for env in gateway.get("env", []) if "valueFrom" in env]


def test_google_s_key_is_a_file_of_a_secret(run_program: Run) -> None:
    program = run(run_program, GCS, {"tempoStorageServiceAccountKey": GOOGLE_KEY})
    secret = program.inputs("Secret")["tempo-storage"]["stringData"]
    assert secret["value"] == {"service-account.json": GOOGLE_KEY}
    assert "canary" not in str([program.inputs("ConfigMap"), program.workloads(), program.outputs])
    pod = program.pods()["tempo"]["spec"]
    tempo, _ = pod["containers"]
    (variable,) = (env for env in tempo["env"] if env["name"] == "GOOGLE_APPLICATION_CREDENTIALS")
    (mount,) = (mount for mount in tempo["volumeMounts"] if variable["value"].startswith(mount["mountPath"] + "/"))
    (volume,) = (volume for volume in pod["volumes"] if volume["name"] == mount["name"])
    assert volume["secret"] == {"secretName": "tempo-storage-1a2b3c4d", "defaultMode": 0o440}


@pytest.mark.parametrize(
    ("storage", "identity", "annotations"),
    [
        (S3, ROLE, {"eks.amazonaws.com/role-arn": ROLE}),
        (S3, "serviceAccount", {}),
        (
            GCS,
            "tempo-traces@project.iam.gserviceaccount.com",
            {"iam.gke.io/gcp-service-account": "tempo-traces@project.iam.gserviceaccount.com"},
        ),
        (GCS, "serviceAccount", {}),
        (AZURE, CLIENT, {"azure.workload.identity/client-id": CLIENT}),
    ],
)
def test_an_identity_of_the_cloud_is_the_pod_s_account_without_a_token_of_the_cluster(
    storage: dict[str, Any], identity: str, annotations: dict[str, str], run_program: Run
) -> None:
    program = run(run_program, storage | {"identity": identity})
    account = program.inputs("ServiceAccount")["tempo"]
    own = {
        key: text for key, text in account["metadata"]["annotations"].items() if not key.startswith("nginx-tracing/")
    }
    assert (own, account["automountServiceAccountToken"]) == (annotations, False)
    pod = program.pods()["tempo"]
    assert pod["spec"]["serviceAccountName"] == "tempo"
    assert pod["spec"]["automountServiceAccountToken"] is False
    is_azure = storage["type"] == "azure"
    assert (pod["metadata"]["labels"].get("azure.workload.identity/use") == "true") == is_azure
    assert "tempo-storage" not in program.inputs("Secret")
    # The account has no right in the cluster.
    assert program.inputs("Role") == {}


@pytest.mark.parametrize(
    ("storage", "keys", "hosts"),
    [
        ({}, {}, ()),
        (S3, S3_KEYS, (("s3.eu-central-1.amazonaws.com", 443),)),
        (S3 | {"endpoint": "http://192.0.2.7:9000"}, S3_KEYS, (("192.0.2.7", 9000),)),
        (
            S3 | {"identity": ROLE},
            {},
            (("s3.eu-central-1.amazonaws.com", 443), ("sts.amazonaws.com", 443)),
        ),
        (
            S3 | {"identity": "serviceAccount"},
            {},
            (
                ("s3.eu-central-1.amazonaws.com", 443),
                ("sts.amazonaws.com", 443),
                ("169.254.170.23", 80),
                ("fd00:ec2::23", 80),
                ("169.254.169.254", 80),
            ),
        ),
        (
            GCS | {"identity": "serviceAccount"},
            {},
            (("storage.googleapis.com", 443), ("169.254.169.254", 80), ("169.254.169.252", 988)),
        ),
        (
            GCS,
            {"tempoStorageServiceAccountKey": GOOGLE_KEY},
            (("storage.googleapis.com", 443), ("oauth2.googleapis.com", 443)),
        ),
        (
            AZURE | {"identity": CLIENT},
            {},
            (("blob.core.windows.net", 443), ("login.microsoftonline.com", 443)),
        ),
    ],
)
def test_tempo_may_reach_the_bucket_and_what_lets_it_in(
    storage: dict[str, Any], keys: dict[str, str], hosts: tuple[tuple[str, int], ...]
) -> None:
    assert storage_access(Settings.model_validate({"tempo": {"storage": storage}, **keys})).hosts == hosts


@pytest.mark.parametrize(
    "storage",
    [
        {"region": "us-gov-west-1"},
        {"region": "ap-southeast-7"},
        {"region": "cn-north-1"},
        # Of OpenStack, of Ceph's zone groups, of Cloudflare.
        *({"region": region, "endpoint": "https://s3.example"} for region in ("RegionOne", "us_east", "auto")),
    ],
)
def test_a_region_is_one_of_aws_or_of_another_server(storage: dict[str, str]) -> None:
    assert refusal({"tempo": {"storage": S3 | {"identity": ROLE} | storage}}, []) == ""


def test_an_alias_of_an_access_point_is_a_bucket() -> None:
    alias = "traces-1a2b3c4d5e6f-s3alias"
    assert refusal({"tempo": {"storage": S3 | {"identity": ROLE, "bucket": alias}}}, []) == ""


def test_the_policy_opens_the_bucket_s_address_and_no_other(run_program: Run) -> None:
    program = run(run_program, S3 | {"endpoint": "http://192.0.2.7:9000"}, S3_KEYS)
    egress = program.inputs("NetworkPolicy")["tempo"]["spec"]["egress"]
    dns, bucket = egress
    assert {port["port"] for port in dns["ports"]} == {53, 5353}
    assert bucket == {
        "to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}],
        "ports": [{"protocol": "TCP", "port": 9000}],
    }


@pytest.mark.parametrize(
    ("tempo", "seconds"),
    [
        ({}, GRACE_SECONDS),
        ({"storage": S3, "persistence": {"size": "10Gi"}}, GRACE_SECONDS),
        # Its disk ends with the pod.
        ({"storage": S3}, FLUSH_SECONDS),
    ],
)
def test_a_pod_whose_disk_ends_with_it_has_time_to_write_it_to_the_bucket(
    tempo: dict[str, Any], seconds: int, run_program: Run
) -> None:
    keys = S3_KEYS if "storage" in tempo else {}
    program = run_program(golden.as_pulumi_passes_it({"tempo": tempo, **keys}), secrets=[*keys])
    assert program.pods()["tempo"]["spec"]["terminationGracePeriodSeconds"] == seconds


@pytest.mark.parametrize(
    ("endpoint", "warns"),
    [("http://s3.example", True), ("https://s3.example", False), ("http://minio.storage.svc:9000", False)],
)
def test_spans_in_plain_text_over_a_public_network_are_warned_of(endpoint: str, warns: bool) -> None:
    settings = Settings.model_validate({"tempo": {"storage": S3 | {"endpoint": endpoint}}, **S3_KEYS})
    assert list(storage_warnings(settings)) == (
        [
            "tempo.storage.endpoint begins with http://: whoever is on the way can read the spans. With TLS: "
            "pulumi config set --path tempo.storage.endpoint https://s3.example"
        ]
        if warns
        else []
    )
