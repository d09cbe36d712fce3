"""The build of NGINX Plus' image: its secrets and its arguments."""

import asyncio
import re
from typing import Any

import pulumi
import pulumi_docker_build as docker_build
import pytest

from components.nginx_plus_image import FOLDER
from lab.paths import REPOSITORY
from settings import PlusSettings
from tests import golden
from tests.unit.conftest import Run

Inputs = dict[str, Any]


@pytest.fixture
def build(run_program: Run, monkeypatch: pytest.MonkeyPatch) -> Inputs:
    """What the program gives to the SDK, which marks secrets itself."""
    given: list[Inputs] = []
    register: Any = vars(docker_build.Image)["__init__"]

    def recorded(image: docker_build.Image, name: str, **inputs: Any) -> None:
        given.append(inputs)
        register(image, name, **inputs)

    monkeypatch.setattr(docker_build.Image, "__init__", recorded)
    values = golden.configuration("plus") | {"registryUsername": "pusher", "registryPassword": "golden-password"}
    run_program(golden.as_pulumi_passes_it(values), secrets=list(values))
    (inputs,) = given
    return inputs


def is_secret(value: Any) -> bool:
    return isinstance(value, pulumi.Output) and asyncio.get_event_loop().run_until_complete(value.is_secret())


def test_the_repository_s_certificate_and_key_are_secrets_of_the_build_and_no_arguments(build: Inputs) -> None:
    assert is_secret(build["secrets"])
    assert is_secret(build["registries"][0].password)
    configured = golden.configuration("plus")
    plain = str(build["build_args"])
    for key in ("nginxRepoCrt", "nginxRepoKey"):
        assert configured[key].splitlines()[1] not in plain


def test_the_dockerfile_s_defaults_are_those_of_the_settings(build: Inputs) -> None:
    # A build by hand takes the defaults; the program passes every argument.
    dockerfile = (REPOSITORY / FOLDER / "Dockerfile").read_text()
    defaults = dict(re.findall(r"^ARG (\w+)=(.*)$", dockerfile, re.MULTILINE))
    plus = PlusSettings()
    assert defaults == {
        "BASE_IMAGE": plus.base_image,
        "RELEASE": plus.chosen_release,
        "REPOSITORY": plus.packages.repository,
        "KEYRING": plus.packages.signing_key,
        "FINGERPRINTS": ",".join(plus.packages.fingerprints),
        "REBUILD": plus.rebuild or "",
    }
    assert build["build_args"].keys() == defaults.keys()
