"""Reads from NGINX Plus' secrets until when they are valid and whether they belong together.

Nothing here prints them. NGINX Plus and its repository check whether they are genuine.
"""

import base64
import binascii
import datetime
import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, SecretStr

from settings.types import TypeName

SOON = datetime.timedelta(days=30)
"""How long before the end of a license or a certificate each preview warns of it. Our choice."""

GRACE = datetime.timedelta(days=90)
"""How long after its license's end NGINX Plus still starts."""


def license_end(token: str) -> datetime.date | None:
    """Returns the last day of a license's subscription; None if the token is no license.

    The claim `f5_sat` is the end of the subscription. `exp`, which tokens of other issuers have, counts as well.
    """
    parts = token.split(".")
    if len(parts) != 3 or not all(re.fullmatch(r"[A-Za-z0-9_-]+", part) for part in parts):
        return None
    try:
        header, claims = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2])
        ends = [float(claims[claim]) for claim in ("f5_sat", "exp") if claim in claims]
        return datetime.datetime.fromtimestamp(min(ends), datetime.UTC).date() if "alg" in header else None
    except (binascii.Error, ValueError, TypeError, OverflowError, OSError, RecursionError):
        return None


def certificate_end(certificate: str) -> datetime.date:
    """Returns the last day of a valid certificate."""
    return _certificate(certificate).not_valid_after_utc.date()


def belong_together(certificate: str, key: str) -> bool:
    """Tells whether a valid private key is the key of a valid certificate."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    private = serialization.load_pem_private_key(key.encode(), password=None)
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    own = private.public_key().public_bytes(encoding, form)
    return own == _certificate(certificate).public_key().public_bytes(encoding, form)


def _certificate(text: str) -> Any:
    # Imported here, because it slows each preview and only NGINX Plus and client certificates need it.
    from cryptography import x509  # noqa: PLC0415

    return x509.load_pem_x509_certificate(text.encode())


def _license(secret: SecretStr) -> SecretStr:
    """Returns a license without white space: a token has none, while its file ends in a line end, and mail wraps it."""
    token = "".join(secret.get_secret_value().split())
    if license_end(token) is None:
        raise ValueError("must be the license of NGINX Plus, the text of license.jwt, which is a JSON Web Token")
    return SecretStr(token)


def _repository_certificate(secret: SecretStr) -> SecretStr:
    try:
        certificate_end(secret.get_secret_value())
    except ValueError:
        raise ValueError("must be the certificate of NGINX Plus' repository, the text of nginx-repo.crt") from None
    return secret


def _repository_key(secret: SecretStr) -> SecretStr:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    try:
        serialization.load_pem_private_key(secret.get_secret_value().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(
            "must be the key of NGINX Plus' repository, the text of nginx-repo.key, without a passphrase"
        ) from None
    return secret


def _client_key(secret: SecretStr) -> SecretStr:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415

    text = secret.get_secret_value()
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    # Go's TLS supports no other kind.
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise ValueError(
            "must be a private key in PEM (-----BEGIN PRIVATE KEY-----), RSA, EC or Ed25519, without a passphrase"
        )
    return secret


ClientKey = Annotated[SecretStr, AfterValidator(_client_key), TypeName("secret")]
License = Annotated[SecretStr, AfterValidator(_license), TypeName("secret")]
RepositoryCertificate = Annotated[SecretStr, AfterValidator(_repository_certificate), TypeName("secret")]
RepositoryKey = Annotated[SecretStr, AfterValidator(_repository_key), TypeName("secret")]
