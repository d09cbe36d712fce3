"""Tests with random combinations of directives that a real NGINX loads what the preview takes."""

import getpass
import itertools
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.snippets import Machine, refusals, settings_of
from tools.measure.configurations.documents import CANNOT_BE_KNOWN
from tools.measure.configurations.snippets import random_cases

LAB_NGINX = "nginx:1.28.3-otel"
"""The image whose NGINX the lab builds. A newer one, as by default, knows more directives."""

CASES = 600
"""So many take some ten seconds on two cores; `make reliability` tries 10 000 configurations."""


def complaint(case: dict[str, Any], build: Path, folder: Path) -> str | None:
    """Returns NGINX' answer to a configuration that the preview takes; none if the preview refuses it."""
    settings = settings_of({"nginx": {"image": LAB_NGINX} | case["nginx"]})
    if refusals(settings):
        return None
    folder.mkdir()
    machine = Machine(folder, build, 8080, 8081)
    machine.lay_out()
    (folder / "nginx.conf").write_text(f"user {getpass.getuser()};\n{machine.nginx_conf(settings)}")
    command = [build / "nginx", "-t", "-q", "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"]
    tested = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True)
    said = next((line for line in tested.stderr.splitlines() if "[emerg]" in line), tested.stderr)
    if tested.returncode == 0 or any(reason in said for reason in CANNOT_BE_KNOWN):
        return ""
    return f"{said}\n{case['nginx']}"


def is_valid(case: dict[str, Any]) -> bool:
    """Tells whether each value is valid by itself."""
    try:
        settings_of(case)
    except ValueError:
        return False
    return True


def test_nginx_loads_every_random_combination_that_the_preview_takes(nginx_build: Path, tmp_path: Path) -> None:
    cases = list(itertools.islice(filter(is_valid, random_cases(17)), CASES))
    folders = [tmp_path / str(number) for number in range(CASES)]
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(complaint, cases, itertools.repeat(nginx_build), folders))
    assert [complaint for complaint in said if complaint] == []
    # A generator whose configurations are nearly all refused would test nothing.
    assert said.count("") > CASES / 10
