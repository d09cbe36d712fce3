"""Rules of Tempo's storage: what each type of bucket needs, and what it has no use for."""

import re
from collections.abc import Iterator, Mapping, Sequence

from pydantic import SecretStr

from settings.errors import Place, RuleViolation, needs, remove_command, set_command, violation
from settings.schema import aliased
from settings.stack import Settings
from settings.tempo_storage import AS_SERVICE_ACCOUNT, KEYS_OF, MAKERS, TempoStorage
from settings.types import is_private

_STORAGE: Place = ("tempo", "storage")
_TYPE, _ENDPOINT = (*_STORAGE, "type"), (*_STORAGE, "endpoint")
_BUCKET, _IDENTITY = (*_STORAGE, "bucket"), (*_STORAGE, "identity")


def storage_keys(settings: Settings) -> dict[str, SecretStr]:
    """Returns the secret keys of storage that are set."""
    keys = {
        "tempoStorageAccessKey": settings.tempo_storage_access_key,
        "tempoStorageSecretKey": settings.tempo_storage_secret_key,
        "tempoStorageServiceAccountKey": settings.tempo_storage_service_account_key,
        "tempoStorageAccountKey": settings.tempo_storage_account_key,
    }
    return {name: key for name, key in keys.items() if key is not None}


def storage_secrets(settings: Settings) -> list[Place]:
    """Returns the places of the keys, without those that another rule tells to remove."""
    storage = settings.tempo.storage
    return [(key,) for key in storage_keys(settings) if key in KEYS_OF[storage.type] and not storage.identity]


def _needs_a_type(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects keys of a bucket beside the type local, which has none."""
    storage = settings.tempo.storage
    if storage.is_remote:
        return
    for name, field in aliased(TempoStorage).items():
        if (
            name != "type"
            and (value := getattr(storage, _field(name)))
            and value != field.get_default(call_default_factory=True, validated_data={})
        ):
            message = "is for a bucket, and `tempo.storage.type` is local"
            yield needs((*_STORAGE, name), message, _TYPE, "azure" if name == "account" else "s3")


def _field(alias: str) -> str:
    return next(name for name, field in TempoStorage.model_fields.items() if field.alias == alias)


def _keys_of_others(settings: Settings) -> Iterator[RuleViolation]:
    storage = settings.tempo.storage
    kind = storage.type
    if not storage.is_remote and storage.model_fields_set - {"type"}:
        # It is the type that is missing: another rule says so.
        return
    for key in storage_keys(settings):
        if key not in KEYS_OF[kind]:
            owner = next(name for name, keys in KEYS_OF.items() if key in keys)
            message = f"is a key for {MAKERS[owner]}, and `tempo.storage.type` is {kind}, not {owner}"
            yield violation((key,), message, depends_on=[_TYPE])


def _keys_or_identity(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects a bucket that Tempo could not log in to, and a login twice."""
    storage, given = settings.tempo.storage, storage_keys(settings)
    # Google's client does not log in to an emulator without TLS.
    if storage.type == "gcs" and storage.is_plain:
        return
    for key in KEYS_OF[storage.type]:
        if storage.identity and key in given:
            message = "must not be set beside `tempo.storage.identity`, which would have no use"
            yield violation((key,), message, depends_on=[_IDENTITY, _TYPE])
        if not storage.identity and key not in given:
            message = f"is required with `tempo.storage.type` {storage.type}, unless `tempo.storage.identity` is set"
            yield violation((key,), message, fix=set_command((key,), secret=True), depends_on=[_IDENTITY, _TYPE])


_IDENTITIES: Mapping[str, tuple[str, str, str]] = {
    "s3": (
        rf"arn:aws[a-z-]*:iam::[0-9]{{12}}:role/[\w+=,.@/-]+|{AS_SERVICE_ACCOUNT}",
        f"the ARN of a role, or `{AS_SERVICE_ACCOUNT}`",
        "arn:aws:iam::123456789012:role/tempo",
    ),
    "gcs": (
        rf"[a-z][a-z0-9-]{{4,28}}[a-z0-9]@[a-z0-9.:-]+\.gserviceaccount\.com|{AS_SERVICE_ACCOUNT}",
        f"the address of a service account, or `{AS_SERVICE_ACCOUNT}`",
        "tempo-traces@project.iam.gserviceaccount.com",
    ),
    "azure": (
        r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
        "the client ID of a managed identity",
        "00000000-0000-0000-0000-000000000000",
    ),
}
"""By type: the pattern of identities, what it means, and an example."""


def _identity(settings: Settings) -> Iterator[RuleViolation]:
    storage = settings.tempo.storage
    if storage.identity and storage.is_remote:
        pattern, words, example = _IDENTITIES[storage.type]
        if not re.fullmatch(pattern, storage.identity, re.ASCII):
            message = f"must be {words} with `tempo.storage.type` {storage.type}"
            yield violation(_IDENTITY, message, set_to=example, depends_on=[_TYPE])


_BUCKET_WORDS = {
    # An alias of an access point (-s3alias) stands for its bucket: Amazon's "Access point aliases".
    # minio-go, which Tempo uses, refuses a dot beside a hyphen too: CheckValidBucketNameStrict in pkg/s3utils/utils.go.
    "s3": "3 to 63 lower-case letters, digits, `-` and `.`, no `.` beside another or a `-`, no IP address, and none of "
    "the beginnings and ends that AWS keeps for itself (xn--, sthree-, amzn-s3-demo-, --ol-s3, .mrap, "
    "--x-s3, --table-s3)",
    "gcs": "3 to 63 lower-case letters, digits, `-`, `_` and, between parts, `.`; no IP address, not beginning with "
    "goog and without google",
    "azure": "3 to 63 lower-case letters, digits and single `-`",
}
"""The makers' own rules: Amazon's "General purpose bucket naming rules", Google's "Cloud Storage buckets: Bucket
names", Microsoft's "Naming and referencing containers"."""


def _is_bucket_of(kind: str, name: str) -> bool:
    if kind == "azure":
        return re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) is not None and len(name) <= 63
    if re.fullmatch(r"\d+(\.\d+){3}", name):
        return False
    if kind == "gcs":
        parts = name.split(".")
        return all(0 < len(part) <= 63 for part in parts) and not name.startswith("goog") and "google" not in name
    kept = re.compile(r"(xn--|sthree-|amzn-s3-demo-).*|.*(--ol-s3|\.mrap|--x-s3|--table-s3)")
    return len(name) <= 63 and not re.search(r"_|\.\.|\.-|-\.", name) and not kept.fullmatch(name)


def _bucket(settings: Settings) -> Iterator[RuleViolation]:
    storage = settings.tempo.storage
    if not storage.is_remote:
        return
    if storage.bucket is None:
        yield violation(_BUCKET, f"is required with `tempo.storage.type` {storage.type}", set_to="traces")
    elif not _is_bucket_of(storage.type, storage.bucket):
        message = f"must be a name that {MAKERS[storage.type]} takes: {_BUCKET_WORDS[storage.type]}"
        yield violation(_BUCKET, message, set_to="traces", depends_on=[_TYPE])


def _account(settings: Settings) -> Iterator[RuleViolation]:
    storage, place = settings.tempo.storage, (*_STORAGE, "account")
    if storage.type == "azure" and storage.account is None:
        yield violation(place, "is required with `tempo.storage.type` azure", set_to="traces")
    if storage.type in {"s3", "gcs"} and storage.account:
        yield violation(place, f"is for Azure, and `tempo.storage.type` is {storage.type}", depends_on=[_TYPE])


def _of_s3(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects keys of S3 beside another maker, for which Tempo has no such settings, and S3 without a server."""
    storage = settings.tempo.storage
    if storage.type == "s3":
        yield from _server(storage)
        return
    for place, value in (
        (("region",), storage.region),
        (("pathStyle",), storage.path_style),
        (("tls", "caBundle"), storage.tls.ca_bundle),
        (("tls", "serverName"), storage.tls.server_name),
    ):
        if value and storage.is_remote:
            message = f"is for S3, and `tempo.storage.type` is {storage.type}"
            yield violation((*_STORAGE, *place), message, depends_on=[_TYPE])


_AWS_REGION = r"[a-z]{2}(-gov)?-[a-z]+-\d+"
"""Regions whose servers are below amazonaws.com. A zone such as eu-central-1a is none. Source: botocore's
endpoints.json; its isolated and sovereign partitions have other domains."""


def _server(storage: TempoStorage) -> Iterator[RuleViolation]:
    region, style = (*_STORAGE, "region"), (*_STORAGE, "pathStyle")
    if storage.endpoint is None and storage.region is None:
        yield violation(region, "is required without `tempo.storage.endpoint`", set_to="eu-central-1")
    elif storage.endpoint is None and not re.fullmatch(_AWS_REGION, str(storage.region)):
        message = (
            "must be a region of AWS, such as eu-central-1, without `tempo.storage.endpoint`, which names other servers"
        )
        near = re.match(_AWS_REGION, str(storage.region).lower())
        yield violation(region, message, set_to=near[0] if near else "eu-central-1", depends_on=[_ENDPOINT])
    if storage.path_style and storage.endpoint is None:
        message = "needs an `endpoint`: the servers of AWS have the bucket in their names"
        yield needs(style, message, _ENDPOINT, "https://s3.example")
    host = storage.address[0]
    if (
        storage.endpoint
        and storage.bucket
        and re.fullmatch(rf"{re.escape(storage.bucket)}\..*amazonaws\.com(\.cn)?", host)
    ):
        without = storage.endpoint.replace(f"{storage.bucket}.", "", 1)
        yield violation(_ENDPOINT, "must be without the bucket, which Tempo adds", set_to=without, depends_on=[_BUCKET])
    if storage.is_plain:
        for name, value in (("caBundle", storage.tls.ca_bundle), ("serverName", storage.tls.server_name)):
            if value:
                message = "is for a connection with TLS, and the endpoint begins with http://"
                yield violation((*_STORAGE, "tls", name), message, depends_on=[_ENDPOINT])


def _endpoint(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects endpoints that Google's and Azure's clients do not take."""
    storage = settings.tempo.storage
    if storage.endpoint is None:
        return
    others: Sequence[Place] = [_TYPE, _IDENTITY, *((key,) for key in KEYS_OF["gcs"])]
    with_tls = storage.endpoint.replace("http://", "https://", 1)
    if storage.type == "gcs" and storage.is_plain and (storage.identity or settings.tempo_storage_service_account_key):
        message = "must begin with https://: Tempo does not log in to Google without TLS"
        yield violation(_ENDPOINT, message, set_to=with_tls, depends_on=others)
    if storage.type != "azure":
        return
    if storage.is_plain == storage.address[0].startswith("blob."):
        message = "must be https://blob.<domain>, without the account, or http://host:port of an emulator"
        yield violation(_ENDPOINT, message, fix=remove_command(_ENDPOINT), depends_on=[_TYPE])
    elif storage.is_plain and storage.identity:
        message = "must begin with https://: Azure's client sends no token without TLS"
        yield violation(_ENDPOINT, message, fix=remove_command(_ENDPOINT), depends_on=others)


def storage_warnings(settings: Settings) -> Iterator[str]:
    """Yields a warning of spans that leave the cluster in plain text."""
    storage = settings.tempo.storage
    if settings.tempo.enabled and storage.is_remote and storage.is_plain and not is_private(storage.address[0]):
        yield (
            "tempo.storage.endpoint begins with http://: whoever is on the way can read the spans. With TLS: "
            f"{set_command(_ENDPOINT, storage.url.replace('http://', 'https://', 1))}"
        )


STORAGE_RULES = (
    _needs_a_type,
    _keys_of_others,
    _keys_or_identity,
    _identity,
    _bucket,
    _account,
    _of_s3,
    _endpoint,
)
