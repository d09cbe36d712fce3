"""Tests the module's own source: formatting, lints, and its tests that need no NGINX."""

import os
import subprocess
from pathlib import Path

import pytest

from lab.build.nginx import CARGO_TARGET, NGINX


@pytest.mark.parametrize(
    "command",
    [
        "cargo fmt --check",
        "cargo clippy --release --locked -- --deny warnings",
        "cargo test --release --locked --test context --test connection",
    ],
)
def test_cargo_is_content(nginx_build: Path, command: str) -> None:
    done = subprocess.run(
        command.split(),
        check=False,
        cwd=NGINX.source,
        env=os.environ | {"CARGO_TARGET_DIR": str(CARGO_TARGET)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
