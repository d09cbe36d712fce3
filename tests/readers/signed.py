"""Sends servers of buckets the signed requests that Tempo does not send: they make a bucket and say who may do what.

Sources of the signatures: Amazon's documentation, "Create a signed AWS API request"; Microsoft's, "Authorize with
Shared Key".
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx

REGION = "us-east-1"


def put_s3(url: str, body: str, login: tuple[str, str], headers: Mapping[str, str] | None = None) -> None:
    """Sends an S3 server a PUT, which it takes.

    Args:
        url: the server's, with the bucket, and what is set as its query.
        body: what it is set to.
        login: the ID and the secret of a key.
        headers: headers besides those that every request needs.
    """
    parts, now = urlsplit(url), datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body.encode()).hexdigest()
    md5 = hashlib.md5(body.encode(), usedforsecurity=False).digest()
    sent = {"content-md5": base64.b64encode(md5).decode(), "host": parts.netloc, "x-amz-content-sha256": digest}
    sent |= {"x-amz-date": now} | dict(headers or {})
    names, query = ";".join(sorted(sent)), f"{parts.query}=" if parts.query else ""
    lines = "".join(f"{name}:{sent[name]}\n" for name in sorted(sent))
    request = hashlib.sha256(f"PUT\n{parts.path}\n{query}\n{lines}\n{names}\n{digest}".encode()).hexdigest()
    scope = f"{now[:8]}/{REGION}/s3/aws4_request"
    key = f"AWS4{login[1]}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{request}".encode(), "sha256").hex()
    sent["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={login[0]}/{scope},SignedHeaders={names},Signature={signature}"
    )
    _put(url, body, sent)


def make_azure_container(url: str, account: str, container: str, key: str) -> None:
    """Makes a container of an emulator of Azure Blob Storage.

    Args:
        url: the emulator's.
        account: the storage account.
        container: the container's name.
        key: the account's key, in base64.
    """
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    sent = {"x-ms-date": now, "x-ms-version": "2021-12-02"}
    # An emulator has the account in the path, before which the resource names it once more.
    resource = f"/{account}/{account}/{container}\nrestype:container"
    text = "\n".join(["PUT", *[""] * 11, *(f"{name}:{value}" for name, value in sorted(sent.items())), resource])
    signature = base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), "sha256")).decode()
    sent["authorization"] = f"SharedKey {account}:{signature}"
    _put(f"{url}/{account}/{container}?restype=container", "", sent)


def _put(url: str, body: str, headers: Mapping[str, str]) -> None:
    answer = httpx.put(url, content=body, headers=headers, trust_env=False)
    assert answer.is_success, f"{url}: {answer.text}"
