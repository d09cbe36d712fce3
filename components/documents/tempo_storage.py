"""Builds the part of tempo.yaml that says where Tempo's blocks are, and what its containers need to reach them.

No credential stands in the document: Tempo reads S3's and Azure's from environment variables, and Google's from a file.
Source: Tempo's documentation, "Amazon S3 permissions" and "Azure blob storage permissions"; Google's, "Application
Default Credentials".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from components.documents import Document
from components.documents.tempo_metrics import CONFIG_FOLDER
from settings import Settings
from settings.tempo_storage import AS_SERVICE_ACCOUNT, TempoStorage

CA_FILE = "storage-ca.pem"
"""The authorities of the S3 server, if they are configured, beside tempo.yaml."""

SECRETS_FOLDER = "/etc/tempo-storage"
KEY_FILE = "service-account.json"

_METADATA = "169.254.169.254"
"""Where AWS and Google answer pods that ask who they are, over HTTP at the port 80."""

_IDENTITY_HOSTS: Mapping[str, tuple[tuple[str, int], ...]] = {
    # EKS Pod Identity's agent on the node, with its address in clusters of IPv6: Amazon's documentation, "Set up the
    # Amazon EKS Pod Identity Agent". The third is the metadata of the node, which answers with the node's role.
    "s3": (("169.254.170.23", 80), ("fd00:ec2::23", 80), (_METADATA, 80)),
    # Google's documentation, "Workload Identity Federation for GKE: Network policies": the first one with Dataplane V2.
    "gcs": ((_METADATA, 80), ("169.254.169.252", 988)),
    "azure": (),
}


@dataclass(frozen=True)
class StorageAccess:
    """Holds what Tempo's containers need to reach the blocks, besides the document."""

    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    """Secrets in plain text, by the environment variables that Tempo reads them from."""

    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """Secrets in plain text, by their files' names in `SECRETS_FOLDER`."""

    plain_variables: Mapping[str, str] = field(default_factory=dict[str, str])
    """Environment variables that are no secrets."""

    certificates: Mapping[str, str] = field(default_factory=dict[str, str])
    """Authorities, by their files' names beside tempo.yaml."""

    hosts: tuple[tuple[str, int], ...] = ()
    """Hosts and ports that Tempo connects to."""

    has_account: bool = False
    """Whether the pods get a service account of their own, which the cloud knows."""

    account_annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    pod_labels: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def has_secrets(self) -> bool:
        """Whether there is anything for a Secret."""
        return bool(self.variables or self.files)


def storage_document(storage: TempoStorage, data: str) -> Document:
    """Returns the key of `storage.trace` that says where the blocks are; it is called as the backend is.

    Args:
        storage: what can be configured.
        data: the folder that Tempo writes to, for blocks on its own disk.
    """
    parts = {"s3": _s3, "gcs": _gcs, "azure": _azure}
    if storage.type == "local":
        return {"local": {"path": f"{data}/blocks"}}
    prefix = {"prefix": storage.prefix} if storage.prefix else {}
    return {storage.type: parts[storage.type](storage) | prefix}


def _s3(storage: TempoStorage) -> Document:
    document: Document = {"bucket": storage.bucket, "endpoint": _authority(storage)}
    if storage.region:
        document["region"] = storage.region
    if storage.path_style:
        document["forcepathstyle"] = True
    if storage.is_plain:
        document["insecure"] = True
    if storage.tls.ca_bundle:
        document["tls_ca_path"] = f"{CONFIG_FOLDER}/{CA_FILE}"
    if storage.tls.server_name:
        document["tls_server_name"] = storage.tls.server_name
    return document


def _gcs(storage: TempoStorage) -> Document:
    document: Document = {"bucket_name": storage.bucket}
    if storage.endpoint:
        # Google's client wants the path of its JSON API in it.
        document["endpoint"] = f"{storage.endpoint}/storage/v1/"
    if storage.is_plain:
        # Without TLS Google's client logs in nowhere: it is for emulators.
        document["insecure"] = True
    return document


def _azure(storage: TempoStorage) -> Document:
    document: Document = {"storage_account_name": storage.account, "container_name": storage.bucket}
    if storage.endpoint:
        # Of one that begins with `blob.` Tempo makes https://<account>.<suffix>, else http://<suffix>/<account>.
        document["endpoint_suffix"] = _authority(storage)
    if storage.identity:
        document["use_federated_token"] = True
    return document


def _authority(storage: TempoStorage) -> str:
    return storage.url.split("://", 1)[1]


def storage_access(settings: Settings) -> StorageAccess:
    """Returns what Tempo's containers need to reach the blocks, besides the document.

    Args:
        settings: the configuration, which has kept the rules.
    """
    storage = settings.tempo.storage
    if not storage.is_remote:
        return StorageAccess()
    files = _files(settings)
    return StorageAccess(
        variables=_variables(settings),
        files=files,
        plain_variables={"GOOGLE_APPLICATION_CREDENTIALS": f"{SECRETS_FOLDER}/{KEY_FILE}"} if files else {},
        certificates={CA_FILE: storage.tls.ca_bundle} if storage.tls.ca_bundle else {},
        hosts=(storage.address, *_hosts_of_login(storage)),
        has_account=storage.identity is not None,
        account_annotations=_account_annotations(storage),
        # Azure's webhook gives a token to pods with this label alone.
        pod_labels={"azure.workload.identity/use": "true"} if storage.type == "azure" and storage.identity else {},
    )


def _variables(settings: Settings) -> dict[str, str]:
    secrets = {
        "AWS_ACCESS_KEY_ID": settings.tempo_storage_access_key,
        "AWS_SECRET_ACCESS_KEY": settings.tempo_storage_secret_key,
        "AZURE_STORAGE_KEY": settings.tempo_storage_account_key,
    }
    return {name: secret.get_secret_value() for name, secret in secrets.items() if secret}


def _files(settings: Settings) -> dict[str, str]:
    key = settings.tempo_storage_service_account_key
    return {KEY_FILE: key.get_secret_value()} if key else {}


def _hosts_of_login(storage: TempoStorage) -> tuple[tuple[str, int], ...]:
    """Returns the hosts that give Tempo a token for its identity, or for Google's key."""
    if storage.identity is None:
        return (("oauth2.googleapis.com", 443),) if storage.type == "gcs" and not storage.is_plain else ()
    names = {"s3": "sts.amazonaws.com", "azure": "login.microsoftonline.com"}
    named = [(names[storage.type], 443)] if storage.type in names else []
    of_node = _IDENTITY_HOSTS[storage.type] if storage.type == "gcs" or storage.identity == AS_SERVICE_ACCOUNT else ()
    return (*named, *of_node)


def _account_annotations(storage: TempoStorage) -> dict[str, str]:
    keys = {
        "s3": "eks.amazonaws.com/role-arn",
        "gcs": "iam.gke.io/gcp-service-account",
        "azure": "azure.workload.identity/client-id",
    }
    named = storage.identity if storage.identity != AS_SERVICE_ACCOUNT else None
    return {keys[storage.type]: named} if named else {}
