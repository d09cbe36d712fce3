"""NGINX Plus: its secrets, its warnings, and the explanations of failed builds."""

import base64
import datetime
import json
import re
from typing import Any

import pulumi
import pytest

import settings
from components.nginx_plus_image import FOLDER, explanation
from lab.paths import REPOSITORY
from settings import plus_rules
from settings.license import certificate_end, license_end
from tests import golden
from tests.unit.conftest import SECRET_MARK, Program, Run

SECRETS = ("nginxLicenseJwt", "nginxRepoCrt", "nginxRepoKey", "registryPassword")


def run_case(case: str, run_program: Run, **changed: str) -> Program:
    """Runs the program with a golden case's configuration."""
    values = golden.as_pulumi_passes_it(golden.configuration(case)) | changed
    return run_program(values, secrets=SECRETS)


def unmarked(value: Any) -> Any:
    """Returns inputs without the values that are marked as secret."""
    if isinstance(value, dict):
        return {} if SECRET_MARK in value else {key: unmarked(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return [unmarked(item) for item in value] if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType]


@pytest.mark.parametrize("case", ["plus", "plus-ready"])
def test_no_secret_is_outside_of_what_is_marked_as_one(case: str, run_program: Run) -> None:
    program = run_case(case, run_program)
    configuration = golden.configuration(case)
    secrets = [line for key in SECRETS for line in str(configuration.get(key, "")).splitlines() if "-----" not in line]
    assert secrets
    for token, resources in program.resources.items():
        for resource in resources:
            plain = str(unmarked(dict(resource.inputs)))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            assert not any(secret in plain for secret in secrets), token
    assert not any(secret in str(program.outputs) for secret in secrets)


@pytest.mark.parametrize("secret", golden.secrets_to_add((REPOSITORY / "Pulumi.prod.yaml").read_text()))
def test_production_needs_every_secret_that_its_file_says_is_to_be_added(secret: str, run_program: Run) -> None:
    values = golden.as_pulumi_passes_it(golden.configuration("prod"))
    del values[secret]
    with pytest.raises(pulumi.RunError, match=f"pulumi config set --secret {secret}"):
        run_program(values, secrets=SECRETS)


def test_the_image_is_built_only_where_it_is_wanted(run_program: Run) -> None:
    assert "docker-build:index:Image" not in run_case("plus-ready", run_program).resources
    assert "docker-build:index:Image" not in run_case("plus", run_program, edition="oss").resources
    program = run_case("plus", run_program)
    ((image,),) = [program.resources["docker-build:index:Image"]]
    assert image.inputs["buildOnPreview"] is False  # pyright: ignore[reportUnknownMemberType]
    assert program.outputs["nginxImage"].startswith("registry.example/team/nginx-plus:R37.0@sha256:")


def test_with_oss_nothing_of_plus_is_deployed(run_program: Run) -> None:
    program = run_case("plus", run_program, edition="oss")
    assert program.inputs("Secret").keys() == {"registry"}
    assert "mgmt" not in program.inputs("ConfigMap")["nginx-config"]["data"]["nginx.conf"]


def test_the_license_is_the_user_of_f5_s_registry(run_program: Run) -> None:
    secret = run_case("plus-ready", run_program).inputs("Secret")["registry"]
    login = json.loads(secret["stringData"]["value"][".dockerconfigjson"])["auths"]["private-registry.nginx.com"]
    token = golden.configuration("plus-ready")["nginxLicenseJwt"]
    assert login == {
        "username": token,
        "password": "none",
        "auth": base64.b64encode(f"{token}:none".encode()).decode(),
    }


def test_the_white_space_of_a_license_s_file_stays_out_of_the_cluster(run_program: Run) -> None:
    token = golden.configuration("plus-ready")["nginxLicenseJwt"]
    wrapped = f"{token[:60]}\n{token[60:]}\r\n"
    secrets = run_case("plus-ready", run_program, nginxLicenseJwt=wrapped).inputs("Secret")
    assert secrets["nginx-license"]["stringData"]["value"] == {"license.jwt": token}
    auths = json.loads(secrets["registry"]["stringData"]["value"][".dockerconfigjson"])["auths"]
    assert [login["username"] for login in auths.values()] == [token]


def test_the_license_is_f5_s_user_beside_one_of_another_registry(run_program: Run) -> None:
    others = {"registryAddress": "registry.example", "registryUsername": "puller", "registryPassword": "word"}
    secret = run_case("plus-ready", run_program, **others).inputs("Secret")["registry"]
    logins = json.loads(secret["stringData"]["value"][".dockerconfigjson"])["auths"]
    assert {registry: login["username"] for registry, login in logins.items()} == {
        "registry.example": "puller",
        "private-registry.nginx.com": golden.configuration("plus-ready")["nginxLicenseJwt"],
    }


def test_the_variables_of_plus_are_known_to_plus(run_program: Run) -> None:
    nginx = golden.configuration("plus").get("nginx", {}) | {"spanAttributes": {"user": "$jwt_claim_sub"}}
    program = run_case("plus", run_program, nginx=json.dumps(nginx))
    assert '"$jwt_claim_sub"' in program.inputs("ConfigMap")["nginx-config"]["data"]["nginx.conf"]


def warnings_on(day: datetime.date, monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns the warnings of a day, with the configuration of the golden case."""
    said: list[str] = []
    monkeypatch.setattr(plus_rules, "today", lambda: day)
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    pulumi.runtime.set_all_config(
        {
            f"nginx-tracing:{key}": value
            for key, value in golden.as_pulumi_passes_it(golden.configuration("plus")).items()
        },
        [f"nginx-tracing:{key}" for key in SECRETS],
    )
    settings.load()
    return "\n".join(said)


def test_the_ends_of_license_and_certificate_are_warned_of_before_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = golden.configuration("plus")
    license_day = license_end(configuration["nginxLicenseJwt"])
    certificate_day = certificate_end(configuration["nginxRepoCrt"])
    assert license_day is not None
    week, day = datetime.timedelta(days=7), datetime.timedelta(days=1)
    assert warnings_on(min(license_day, certificate_day) - 10 * week, monkeypatch) == ""
    assert f"is valid until {license_day}" in warnings_on(license_day - week, monkeypatch)
    assert f"expired on {license_day}" in warnings_on(license_day + day, monkeypatch)
    assert f"packages is valid until {certificate_day}" in warnings_on(certificate_day - week, monkeypatch)


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ("failed to solve: process … did not complete successfully: exit code: 41", "`plus.baseImage`"),
        ("failed to solve: process … did not complete successfully: exit code: 42", "`nginxRepoCrt`"),
        ("failed to solve: process … did not complete successfully: exit code: 43", "`plus.packages.caBundle`"),
        ("failed to solve: process … did not complete successfully: exit code: 44", "`plus.packages.fingerprints`"),
        ("failed to solve: process … did not complete successfully: exit code: 45", "`plus.packages.repository`"),
        ("failed to solve: process … did not complete successfully: exit code: 46", "`plus.release`"),
        ("failed to push a/b:R34: unexpected status: 401 Unauthorized", "`registryPassword`"),
        ("failed to push a/b:R34: dial tcp 127.0.0.1:1: connect: connection refused", "`plus.repository`"),
        ("debian:nowhere: failed to resolve source metadata for debian:nowhere: not found", "`plus.baseImage`"),
        ("failed to solve: process … did not complete successfully: exit code: 47", "`plus.baseImage`"),
        ("failed to solve: debian: pull access denied, repository does not exist", "`plus.baseImage`"),
        ("failed to push a/b:R34: unexpected status: 413 Request Entity Too Large", "takes no layer of that size"),
        ("no builder \"ci\" found", "`plus.builder`"),
        ("#8 12.403 Get:3 … did not complete successfully: exit code: 1", "see what its build said"),
        ("something else", "see what its build said"),
    ],
)  # fmt: skip
def test_a_failed_build_names_the_key_to_look_at(said: str, key: str) -> None:
    assert key in explanation(said)


def installer() -> str:
    """Returns the script of the Dockerfile that installs NGINX Plus."""
    dockerfile = (REPOSITORY / FOLDER / "Dockerfile").read_text()
    (script,) = re.findall(r'^COPY <<"INSTALL" /install\.sh\n(.*?)^INSTALL\n\n', dockerfile, re.MULTILINE | re.DOTALL)
    return script


def test_no_file_s_mode_makes_another_image() -> None:
    """The provider hashes the modes of the files that are not ignored, and the umask of each clone sets those."""
    ignored = (REPOSITORY / FOLDER / ".dockerignore").read_text().splitlines()
    assert [line for line in ignored if not line.startswith("#")] == ["*"]
    dockerfile = (REPOSITORY / FOLDER / "Dockerfile").read_text().replace(installer(), "")
    assert re.findall(r"^(?:COPY|ADD) (?!<<|--from=)", dockerfile, re.MULTILINE) == []
    assert re.findall(r"type=bind(?!,from=)", dockerfile) == []
