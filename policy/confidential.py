"""Checks that secret values are in Secrets, and in nothing that everyone may read."""

import base64
import binascii
import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from objects import Object, containers, items, kind_of, mapping, texts, title

SHORTEST_VALUE: Final = 8
"""Characters. Shorter values occur by chance; our choice."""

SHORTEST_LINE: Final = 16
"""Characters of one line of a longer value. Shorter lines may be common words of a document; our choice."""

LOGIN_FIELDS: Final = ("password", "auth", "identitytoken", "registrytoken")
"""The secret fields of a registry's login, which is a Secret with one JSON document."""

USER_KEY: Final = "_user"
"""The key of a user's name in a Secret of the program."""

PEM_BOUNDARY: Final = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]+-----")
ADDRESS: Final = re.compile(r"(- )?([A-Za-z_-]+: )?https?://[^/@?#\s]+")
"""A line that names a server, without a login, a path or a query in which a secret could be."""

PRIVATE_KEY: Final = re.compile(r"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----")
JWT: Final = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
ONLY_SECRETS: Final = "it in a Secret alone, mounted as a file"


@dataclass(frozen=True)
class _Confidential:
    """One value of a Secret."""

    origin: str
    """The Secret and its key."""

    forms: frozenset[str]
    """The ways to write it elsewhere: plain, and in base64."""

    def is_in(self, text: str) -> bool:
        return any(form in text for form in self.forms)


@dataclass(frozen=True)
class _Readable:
    """A text that everyone reads who may read the object."""

    place: str
    text: str


def no_secrets_in_config_maps(objects: Sequence[Object]) -> list[str]:
    """Refuses a Secret's value in a ConfigMap, and in a container's environment, arguments or command.

    It also refuses a private key in PEM and a JSON Web Token in a ConfigMap, wherever they come from. Of a Secret's
    document it looks for whole lines, not for a value within a line. No message contains the secret itself.
    """
    confidential = [value for item in objects if kind_of(item) == "Secret" for value in _values(item)]
    messages: list[str] = []
    for item in objects:
        in_config_map = list(_config_map_texts(item))
        for readable in [*in_config_map, *_container_texts(item)]:
            origins = dict.fromkeys(value.origin for value in confidential if value.is_in(readable.text))
            messages += [f"{readable.place} has the value of {origin}; allowed: {ONLY_SECRETS}" for origin in origins]
        for readable in in_config_map:
            if PRIVATE_KEY.search(readable.text):
                messages.append(f"{readable.place} has a private key; allowed: {ONLY_SECRETS}")
            if JWT.search(readable.text):
                messages.append(f"{readable.place} has a JSON Web Token; allowed: {ONLY_SECRETS}")
    return [_redacted(message, confidential) for message in messages]


def _redacted(message: str, confidential: Sequence[_Confidential]) -> str:
    """Masks secret values in a message: an object's name or key may contain one."""
    for form in sorted((form for value in confidential for form in value.forms), key=len, reverse=True):
        message = message.replace(form, "[secret]")
    return message


def _config_map_texts(item: Object) -> Iterator[_Readable]:
    if kind_of(item) != "ConfigMap":
        return
    for key, text in texts(item, "data"):
        yield _Readable(f'{title(item)}: the key "{key}"', text)
    for key, text in texts(item, "binaryData"):
        yield _Readable(f'{title(item)}: the key "{key}"', _decoded(text).decode(errors="replace"))


def _container_texts(item: Object) -> Iterator[_Readable]:
    for place, container in containers(item, "initContainers", "containers", "ephemeralContainers"):
        for variable in items(container, "env"):
            value = variable.get("value")
            if isinstance(value, str):
                yield _Readable(f'{place}: the environment variable "{variable.get("name")}"', value)
        for field in ("command", "args"):
            for position, text in texts(container, field):
                yield _Readable(f"{place}: {field}[{position}]", text)


def _values(secret: Object) -> Iterator[_Confidential]:
    plain = [(key, text.encode()) for key, text in texts(secret, "stringData")]
    encoded = [(key, _decoded(text)) for key, text in texts(secret, "data")]
    # The name of a user is not secret, and may be a common word.
    for key, value in (pair for pair in plain + encoded if pair[0] != USER_KEY):
        for part in _parts(value):
            yield _Confidential(f'the key "{key}" of {title(secret)}', _forms(part))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        # The API server will refuse this. The rule compares the text as it stands.
        return text.encode()


def _parts(value: bytes) -> Iterator[bytes]:
    """Yields the parts of a value to look for: itself, its longer lines, and the passwords of a registry's login."""
    stripped = value.strip()
    if _length(stripped) >= SHORTEST_VALUE:
        yield stripped
    lines = [line.strip() for line in stripped.splitlines()]
    if len(lines) > 1:
        for line in lines:
            # Every certificate has the boundary lines, and whatever asks a server has its address.
            text = line.decode(errors="replace")
            if len(text) >= SHORTEST_LINE and not (PEM_BOUNDARY.fullmatch(text) or ADDRESS.fullmatch(text)):
                yield line
    yield from _login_parts(stripped)


def _length(value: bytes) -> int:
    return len(value.decode(errors="replace"))


def _login_parts(value: bytes) -> Iterator[bytes]:
    try:
        document: Any = json.loads(value)
    except ValueError:
        return
    for login in mapping(document, "auths").values():
        for field, text in texts(login):
            if field in LOGIN_FIELDS and len(text) >= SHORTEST_VALUE:
                yield text.encode()


def _forms(value: bytes) -> frozenset[str]:
    """Returns the value as text, and its base64 at each offset within a longer encoded text such as `user:password`."""
    forms: set[str] = set()
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + value).decode()
        # A character encodes six bits, so the characters at the edges also encode bits of the neighbouring text.
        within = encoded[-(-offset * 8 // 6) : (offset + len(value)) * 8 // 6]
        forms |= {within, within.translate(str.maketrans("+/", "-_"))}
    # A text cannot contain bytes that are not UTF-8.
    with contextlib.suppress(UnicodeDecodeError):
        forms.add(value.decode())
    return frozenset(forms)
