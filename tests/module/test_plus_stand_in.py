"""Tests the stand-in for what NGINX Plus adds: it refuses to start in the cases that Plus' documentation names."""

import base64
import json
import time
from pathlib import Path

import pytest

from lab.build.builder import build
from lab.build.targets import NGINX_PLUS
from lab.progress import Progress
from tests.module.nginx import Nginx
from tests.otlp import free_port

DAY = 24 * 3600


def token(until: float) -> str:
    parts = ({"alg": "RS256"}, {"f5_sat": int(until)}, "signature")
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)


@pytest.fixture
def plus(nginx_build: Path, tmp_path: Path) -> Nginx:
    """Returns the NGINX with the stand-in, with a configuration without `mgmt`."""
    build([NGINX_PLUS], Progress())
    return Nginx(NGINX_PLUS.folder, tmp_path, free_port())


def said(nginx: Nginx, mgmt: str) -> str:
    (nginx.folder / "nginx.conf").write_text(f"user root;\npid {nginx.folder}/pid;\nevents {{}}\n{mgmt}\n")
    return nginx.test()


@pytest.mark.parametrize(
    ("license_text", "message"),
    [
        (token(time.time() + DAY), "ok"),
        (token(time.time() - 80 * DAY), "ok"),
        (token(time.time() - 100 * DAY), "expired over 90 days ago"),
        (token(time.time() + DAY) + "\n", "is invalid"),
        ("no token", "is invalid"),
        (None, "is required and cannot be read"),
    ],
    # Tokens have the time in them, and each process that runs tests would have others.
    ids=["valid", "expired 80 days ago", "expired 100 days ago", "with a line's end", "no token", "no file"],
)
def test_it_does_not_start_without_a_license(plus: Nginx, license_text: str | None, message: str) -> None:
    if license_text is not None:
        (plus.folder / "license.jwt").write_text(license_text)
    block = f"mgmt {{ license_token {plus.folder}/license.jwt; state_path {plus.folder}; }}"
    assert message in said(plus, block)


def test_it_does_not_start_without_a_state_folder_that_it_can_write_to(plus: Nginx) -> None:
    (plus.folder / "license.jwt").write_text(token(time.time() + DAY))
    block = f"mgmt {{ license_token {plus.folder}/license.jwt; state_path {plus.folder}/missing; }}"
    assert "cannot be written to" in said(plus, block)


def test_it_knows_no_other_directive(plus: Nginx) -> None:
    assert 'unknown directive "uuid" in "mgmt"' in said(plus, "mgmt { uuid 1; }")
