"""Types of text: plain text, text for nginx.conf, passwords and certificates."""

import re
import ssl
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, SecretStr

from settings.nginx_syntax import literal, template
from settings.types.model import Hidden, TypeName, as_text


def _one_line(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text


def _lines(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    if not text.replace("\n", "").replace("\t", "").isprintable():
        raise ValueError("must be lines of printable characters")
    return text


def _password(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text != text.strip():
        raise ValueError("must not begin or end with white space: is there a line end in the file?")
    return value


def _certificates(text: str) -> str:
    if re.search("BEGIN [A-Z ]*PRIVATE KEY", text):
        raise ValueError("must be certificates alone, without a private key")
    # Comments between the certificates are for people, so they are left out.
    unindented = re.sub(r"^[ \t]+", "", text, flags=re.MULTILINE)
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", unindented, re.DOTALL)
    bundle = "".join(f"{block}\n" for block in blocks)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=bundle)
    except (ssl.SSLError, TypeError, ValueError):
        raise ValueError("must be one or more PEM certificates, each from -----BEGIN CERTIFICATE----- on") from None
    return bundle


Password = Annotated[SecretStr, AfterValidator(_password), TypeName("secret")]

Text = Annotated[str, BeforeValidator(as_text), AfterValidator(_one_line), TypeName("text")]

LiteralText = Annotated[
    str, BeforeValidator(as_text), AfterValidator(_one_line), AfterValidator(literal), TypeName("text")
]
"""Text for nginx.conf in which `$` has no meaning."""

TemplateText = Annotated[
    str,
    BeforeValidator(as_text),
    AfterValidator(_one_line),
    AfterValidator(template),
    TypeName("text with NGINX variables"),
]

Lines = Annotated[
    str,
    BeforeValidator(as_text),
    AfterValidator(_lines),
    AfterValidator(template),
    TypeName("text with NGINX variables"),
]
"""As `TemplateText`, with line ends."""

CertificateBundle = Annotated[str, AfterValidator(_certificates), TypeName("PEM certificates"), Hidden()]

ClientCertificate = Annotated[str, AfterValidator(_certificates), TypeName("PEM certificates"), Hidden()]
"""A certificate, followed by the intermediate certificates up to an authority that the other side knows."""
