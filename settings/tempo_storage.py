"""Where Tempo keeps its blocks: on its own disk, or in a bucket of S3, Google Cloud Storage or Azure Blob Storage."""

import base64
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from settings.types import (
    CertificateBundle,
    Host,
    Model,
    NearMissError,
    Password,
    ServerUrl,
    Text,
    TypeName,
    bracketed,
    is_host,
    matching,
    split_address,
)

AS_SERVICE_ACCOUNT = "serviceAccount"
"""The identity of a pod that the cloud knows by its service account's name alone, or by its node."""

KEYS_OF: Mapping[str, tuple[str, ...]] = {
    "local": (),
    "s3": ("tempoStorageAccessKey", "tempoStorageSecretKey"),
    "gcs": ("tempoStorageServiceAccountKey",),
    "azure": ("tempoStorageAccountKey",),
}
"""The secret keys of each type."""

MAKERS: Mapping[str, str] = {"s3": "S3", "gcs": "Google Cloud Storage", "azure": "Azure Blob Storage"}


def _with_scheme(value: Any) -> Any:
    if isinstance(value, str) and "://" not in value and (split_address(value) or is_host(value)):
        url = f"https://{value if split_address(value) else bracketed(value)}"
        raise NearMissError("must begin with https://, or with http:// for plain text", url)
    return value


def _without_path(url: str) -> str:
    if urlsplit(url).path not in {"", "/"}:
        raise ValueError("must be https://host[:port], without a path: the bucket is `bucket`, a folder in it `prefix`")
    return url.rstrip("/")


StorageUrl = Annotated[
    ServerUrl, BeforeValidator(_with_scheme), AfterValidator(_without_path), TypeName("URL without a path")
]


def _prefix(text: str) -> str:
    stripped = text.strip("/")
    parts = stripped.split("/")
    if text != stripped and all(parts):
        raise NearMissError("must not begin or end with a slash", stripped)
    if not all(part.strip(".") for part in parts):
        raise ValueError("must have no empty part between slashes, and none of dots alone")
    return text


Prefix = Annotated[
    Text,
    # Our choice: with the names of a block's objects below it, it stays far below the 1024 characters of all makers.
    Field(max_length=512),
    # Characters that every maker's documentation calls safe.
    matching(r"[A-Za-z0-9!_.*'()/-]+", "a path of letters, digits and `! - _ . * ' ( )`"),
    AfterValidator(_prefix),
    TypeName("path"),
]
BucketName = Annotated[
    Text,
    matching(
        r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]",
        "3 or more lower-case letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
    ),
    TypeName("bucket"),
]
"""The form of names that any maker allows. The rules know which of them each refuses."""

Region = Annotated[
    str, matching(r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*", "a region, such as eu-central-1"), TypeName("region")
]
"""Any server's, such as Ceph's `RegionOne`. A rule knows the form of those of AWS."""

AccountName = Annotated[
    Text,
    # Microsoft's documentation, "Storage account overview: Storage account name".
    matching(r"[a-z0-9]{3,24}", "3 to 24 lower-case letters and digits"),
    TypeName("name"),
]


def _service_account_key(value: SecretStr) -> SecretStr:
    try:
        key: Any = json.loads(value.get_secret_value())
        parts = [key["client_email"], key["private_key"], key["token_uri"]]
        valid = key["type"] == "service_account" and all(isinstance(part, str) for part in parts)
    except (ValueError, KeyError, TypeError, RecursionError):
        valid = False
    if not valid:
        raise ValueError('must be the JSON of a key of a Google service account, with `"type": "service_account"`')
    return value


ServiceAccountKey = Annotated[SecretStr, AfterValidator(_service_account_key), TypeName("secret")]


def _one_word(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be printable ASCII characters without white space")
    return value


AccessKey = Annotated[Password, AfterValidator(_one_word), TypeName("secret")]


def _base64(value: SecretStr) -> SecretStr:
    try:
        base64.b64decode(value.get_secret_value(), validate=True)
    except ValueError as error:
        raise ValueError("must be base64: in a connection string it is what follows `AccountKey=`") from error
    return value


AccountKey = Annotated[AccessKey, AfterValidator(_base64), TypeName("secret")]


class StorageTls(Model):
    """TLS of the connection to an S3 server of yours. Its certificate is always checked."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("cafile", "ca", "capem", "cacert", "tlscapath"), "`caBundle` is the text of the file"),
        **dict.fromkeys(
            ("insecureskipverify", "skipverify", "insecure", "verify"),
            "anyone in between can read a connection whose certificate is not checked: name the authority with "
            "`caBundle`, and with `serverName` the host that the certificate is for",
        ),
        "enabled": "an endpoint that begins with http:// has no TLS, and every other has",
    }

    ca_bundle: CertificateBundle | None = Field(
        default=None,
        description="Certificate authorities that Tempo trusts for the endpoint. Unset: those of the image.",
        examples=["-----BEGIN CERTIFICATE-----\n…"],
    )
    server_name: Host | None = Field(
        default=None,
        description="Host that the certificate is for. Unset: the endpoint's.",
        examples=["s3.example"],
    )


_SECRET_KEYS = "credentials are secrets, in keys of their own: " + ", ".join(
    f"`{key}`" for keys in KEYS_OF.values() for key in keys
)


class TempoStorage(Model):
    """Where Tempo keeps its blocks. With a bucket, its disk holds what it has not written to the bucket yet."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("accesskey", "accesskeyid", "secretkey", "secretaccesskey", "storageaccountkey", "accountkey", "key"),
            _SECRET_KEYS,
        ),
        **dict.fromkeys(("backend", "provider"), "it is called `type`"),
        **dict.fromkeys(("container", "containername", "bucketname"), "it is called `bucket`"),
        **dict.fromkeys(("storageaccountname", "accountname", "storageaccount"), "it is called `account`"),
        **dict.fromkeys(("s3", "gcs", "azure"), "it is the value of `type`; its keys stand here"),
        **dict.fromkeys(
            ("serviceaccount", "rolearn", "role", "clientid", "usemanagedidentity", "usefederatedtoken"),
            "it is called `identity`",
        ),
        **dict.fromkeys(("forcepathstyle", "s3forcepathstyle"), "it is called `pathStyle`"),
        **dict.fromkeys(("endpointsuffix", "url", "host"), "it is called `endpoint`"),
        **dict.fromkeys(("insecure", "disabletls"), "an endpoint that begins with http:// has no TLS"),
        **dict.fromkeys(("cabundle", "servername"), "it stands in `tls`"),
        **dict.fromkeys(("sse", "kms", "encryption", "storageclass"), "the bucket has its own defaults for that"),
        **dict.fromkeys(("retention", "size", "path"), "see `tempo.retention` and `tempo.persistence`"),
    }

    type: Literal["local", "s3", "gcs", "azure"] = Field(
        default="local",
        description="local: Tempo's own disk. s3: a bucket of Amazon S3, or of a server that speaks its protocol. gcs: "
        "of Google Cloud Storage. azure: a container of Azure Blob Storage. docs/how-to/store-traces-in-a-bucket.md "
        "says how to move there.",
    )
    bucket: BucketName | None = Field(
        default=None, description="Bucket, or Azure's container. It must exist.", examples=["traces"]
    )
    prefix: Prefix | None = Field(
        default=None,
        description="Folder in the bucket. Two Tempos must not share one. Unset: the bucket's root.",
        examples=["tracing/prod"],
    )
    endpoint: StorageUrl | None = Field(
        default=None,
        description="URL of the maker's server, without bucket and path. Unset: that of the region of AWS, of Google, "
        "or of Azure. http:// sends spans in plain text.",
        examples=["https://s3.example:9000"],
    )
    region: Region | None = Field(
        default=None, description="Region of S3; required without an endpoint.", examples=["eu-central-1"]
    )
    path_style: bool = Field(
        default=False,
        description="Name the bucket in the path of S3's URLs, not in their host. Tempo does so by itself for servers "
        "other than those of AWS, Google and Alibaba.",
    )
    account: AccountName | None = Field(default=None, description="Azure's storage account.", examples=["traces"])
    identity: Text | None = Field(
        default=None,
        description="Identity of Tempo in the cloud, instead of a key. s3: the ARN of a role (IRSA). gcs: the address "
        "of a service account. azure: the client ID of a managed identity. With s3 and gcs, `serviceAccount` stands "
        "for what the cloud knows without it: EKS Pod Identity, GKE's federation, a node's role.",
        examples=["arn:aws:iam::123456789012:role/tempo"],
    )
    tls: StorageTls = Field(default_factory=StorageTls, description="TLS of the connection to an S3 server.")

    @property
    def is_remote(self) -> bool:
        """Whether the blocks go to a bucket."""
        return self.type != "local"

    @property
    def url(self) -> str:
        """The maker's server: the endpoint, or the one of its own."""
        if self.endpoint:
            return self.endpoint
        region = self.region or ""
        china = ".cn" if region.startswith("cn-") else ""
        return {
            "s3": f"https://s3.{region}.amazonaws.com{china}",
            "gcs": "https://storage.googleapis.com",
            "azure": "https://blob.core.windows.net",
        }.get(self.type, "")

    @property
    def is_plain(self) -> bool:
        """Whether the connection has no TLS."""
        return self.url.startswith("http://")

    @property
    def address(self) -> tuple[str, int]:
        """The server's host and port."""
        url = urlsplit(self.url)
        return str(url.hostname), url.port or (80 if self.is_plain else 443)
