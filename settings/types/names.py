"""Types of Kubernetes names, labels and annotations (kubernetes.io, "Object Names and IDs", "Labels and Selectors")."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from settings.types.addresses import HOST_NAME, HOST_NAME_LENGTH
from settings.types.model import TypeName, as_text, matching

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_WORDS = "lower-case letters, digits and `-`, 63 at most, with a letter or digit at both ends"

LabelName = Annotated[str, matching(_LABEL, _LABEL_WORDS), TypeName("name")]
"""RFC 1123 label: namespaces, Services, the names of this program's own lists."""

SubdomainName = Annotated[str, matching(_SUBDOMAIN, "lower-case letters, digits, `-` and `.`"), TypeName("name")]
"""RFC 1123 subdomain: priority classes, storage classes."""

MetadataKey = Annotated[
    str,
    matching(
        rf"({_SUBDOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?",
        "[domain/]name, the name of letters, digits, `-`, `_` and `.`, 63 at most, with a letter or digit at both ends",
    ),
    TypeName("key"),
]
LabelValue = Annotated[
    str,
    BeforeValidator(as_text),
    matching(
        r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?",
        "letters, digits, `-`, `_` and `.`, 63 at most, with a letter or digit at both ends",
    ),
    TypeName("text"),
]
AnnotationValue = Annotated[str, BeforeValidator(as_text), TypeName("text")]

OWN_PREFIX = "nginx-tracing/"
"""The prefix of the marks by which the program recognises its stack's objects."""


def not_own(key: str) -> str:
    """Checks that the key of a label or annotation is not one of the program's marks.

    Raises:
        ValueError: it is.
    """
    if key.startswith(OWN_PREFIX):
        raise ValueError(f"must be another: the program marks the stack's objects with {OWN_PREFIX}…")
    return key


def _annotation_key(key: str) -> str:
    if key.startswith("pulumi.com/"):
        raise ValueError("must be another: annotations of pulumi.com steer Pulumi, and the program sets them itself")
    return not_own(key)


AnnotationKey = Annotated[MetadataKey, AfterValidator(_annotation_key)]

ServerName = Annotated[
    str,
    Field(max_length=HOST_NAME_LENGTH),
    matching(rf"(\*?\.)?{HOST_NAME}|{HOST_NAME}\.\*", "a host name, such as shop.example or *.example, or `_`"),
    TypeName("host"),
]
"""A name in NGINX' `server_name`."""
