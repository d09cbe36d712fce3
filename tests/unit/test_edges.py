"""Edges that golden files and tables of bad inputs do not reach: mutants of the program found them untested."""

import base64
import json
from typing import Any

import pytest

from settings import cluster_access
from settings.license import license_end
from tests.unit.conftest import Run


@pytest.mark.parametrize(
    ("said", "applies"), [(None, True), ("true", True), ("1", True), ("false", False), ("0", False)]
)
def test_the_provider_s_variable_tells_whether_the_api_server_applies_objects(
    said: str | None, applies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY", raising=False)
    if said is not None:
        monkeypatch.setenv("PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY", said)
    assert cluster_access().applies is applies


@pytest.mark.parametrize(
    ("claims", "day"),
    [
        ({"f5_sat": 1_800_000_000}, "2027-01-15"),
        ({"exp": 1_700_000_000}, "2023-11-14"),
        ({"f5_sat": 1_800_000_000, "exp": 1_700_000_000}, "2023-11-14"),
        ({"f5_sat": 1_700_000_000, "exp": 1_800_000_000}, "2023-11-14"),
    ],
)
def test_a_license_ends_with_the_first_of_its_ends(claims: dict[str, int], day: str) -> None:
    parts = ({"alg": "RS256"}, claims, "signature")
    token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    assert str(license_end(token)) == day


@pytest.mark.parametrize(("limit", "cores"), [(None, "1"), ("500m", "1"), ("1", "1"), ("2500m", "3"), ("4", "4")])
def test_the_collector_uses_the_cores_of_its_limit_rounded_up(limit: str | None, cores: str, run_program: Run) -> None:
    collector: dict[str, Any] = {"resources": {"cpuLimit": limit}} if limit else {}
    (container,) = run_program({"collector": json.dumps(collector)}).pods()["otel-collector"]["spec"]["containers"]
    assert {item["name"]: item.get("value") for item in container["env"]}["GOMAXPROCS"] == cores
