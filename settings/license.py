"""What NGINX Plus' secrets say of themselves: until when they are valid, and whether they belong together.

Nothing here prints them. Whether they are genuine is not checked: that is for NGINX Plus and its repository.
"""

import base64
import binascii
import datetime
import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, SecretStr

from settings.types import TypeName

GRACE = datetime.timedelta(days=90)
"""How long after its license's end NGINX Plus still starts."""


def license_end(token: str) -> datetime.date | None:
    """The last day of a license's subscription; none where it is not a license.

    Its claim `f5_sat` is the end of the subscription; `exp`, which tokens of other issuers have, counts as well.
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
    """The last day of a valid certificate."""
    return _certificate(certificate).not_valid_after_utc.date()


def belong_together(certificate: str, key: str) -> bool:
    """Whether a private key is that of a certificate, both valid."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    private = serialization.load_pem_private_key(key.encode(), password=None)
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    own = private.public_key().public_bytes(encoding, form)
    return own == _certificate(certificate).public_key().public_bytes(encoding, form)


def _certificate(text: str) -> Any:
    # Imported here: only NGINX Plus needs it, and it costs a part of each preview.
    from cryptography import x509  # noqa: PLC0415

    return x509.load_pem_x509_certificate(text.encode())


def _license(secret: SecretStr) -> SecretStr:
    token = secret.get_secret_value()
    end = license_end(token.strip())
    if end is None:
        raise ValueError("must be the license of NGINX Plus, the text of license.jwt, which is a JSON Web Token")
    if token != token.strip():
        raise ValueError(
            f"must not have white space around it (it is the license that is valid until {end}): take it off with "
            "`tr -d '[:space:]' < license.jwt > file`"
        )
    return secret


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
    # Go's TLS knows no other.
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise ValueError(
            "must be a private key in PEM, RSA, EC or Ed25519, -----BEGIN PRIVATE KEY----- and so on, without a "
            "passphrase"
        )
    return secret


ClientKey = Annotated[SecretStr, AfterValidator(_client_key), TypeName("secret")]
License = Annotated[SecretStr, AfterValidator(_license), TypeName("secret")]
RepositoryCertificate = Annotated[SecretStr, AfterValidator(_repository_certificate), TypeName("secret")]
RepositoryKey = Annotated[SecretStr, AfterValidator(_repository_key), TypeName("secret")]
