"""What waits for what, as the engine is told: the URNs that each registration depends on."""

from typing import Any

import pytest
from pulumi.runtime import mocks

from tests import golden
from tests.unit.conftest import Requests, Run
from tests.unit.test_program import run_case

WORKLOADS = ("Deployment", "StatefulSet")


@pytest.fixture
def dependencies(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], set[tuple[str, str]]]:
    """For each resource, by the last part of its type and its name, those that it waits for."""
    found: dict[tuple[str, str], set[tuple[str, str]]] = {}
    register: Any = vars(mocks.MockMonitor)["RegisterResource"]

    def recorded(monitor: mocks.MockMonitor, request: Any) -> Any:
        waits_for = {named(urn.split("::")[-2].split("$")[-1], urn.split("::")[-1]) for urn in request.dependencies}
        found[named(request.type, request.name)] = waits_for
        return register(monitor, request)

    monkeypatch.setattr(mocks.MockMonitor, "RegisterResource", recorded)
    return found


def named(token: str, name: str) -> tuple[str, str]:
    return token.rsplit(":", maxsplit=1)[-1], name


@pytest.mark.parametrize("case", golden.cases())
def test_pods_wait_for_the_network_policies_of_their_component(
    case: str, run_program: Run, dependencies: dict[tuple[str, str], set[tuple[str, str]]]
) -> None:
    run_case(case, run_program)
    policies = {name for kind, name in dependencies if kind == "NetworkPolicy"}
    workloads = {key: waits_for for key, waits_for in dependencies.items() if key[0] in WORKLOADS}
    assert workloads
    for (_, name), waits_for in workloads.items():
        # The ingesters of all zones have one policy.
        own = policies & {"tempo" if name.startswith("tempo-ingester-") else name}
        assert own <= {policy for kind, policy in waits_for if kind == "NetworkPolicy"}, name
        assert own or not policies, f"{name} has no policy of its own"


@pytest.mark.parametrize("case", ["dev", "demo", "grafana", "own-prometheus"])
def test_all_is_denied_once_each_component_has_its_policy_so_running_pods_keep_their_connections(
    case: str, run_program: Run, dependencies: dict[tuple[str, str], set[tuple[str, str]]]
) -> None:
    run_case(case, run_program)
    policies = {key for key in dependencies if key[0] == "NetworkPolicy"}
    assert dependencies["NetworkPolicy", "deny-all"] >= policies - {("NetworkPolicy", "deny-all")}


def test_nginx_starts_once_its_collector_takes_spans(
    run_program: Run, dependencies: dict[tuple[str, str], set[tuple[str, str]]]
) -> None:
    # The module connects when NGINX starts, and loses what comes until gRPC connects again.
    run_program({})
    assert ("Deployment", "otel-collector") in dependencies["Deployment", "nginx"]


def test_the_first_tier_of_collectors_starts_once_the_deciders_take_spans(
    run_program: Run, dependencies: dict[tuple[str, str], set[tuple[str, str]]]
) -> None:
    run_case("sampling-tiers", run_program)
    assert ("StatefulSet", "otel-collector-decider") in dependencies["Deployment", "otel-collector"]


def test_one_zone_of_ingesters_is_updated_after_another(
    run_program: Run, dependencies: dict[tuple[str, str], set[tuple[str, str]]]
) -> None:
    run_case("distributed-zones", run_program)
    zones = [("StatefulSet", f"tempo-ingester-eu-west-1{letter}") for letter in "abc"]
    for number, zone in enumerate(zones):
        assert {key for key in dependencies[zone] if key[0] == "StatefulSet"} == set(zones[:number])


def test_an_edit_of_a_policy_makes_a_new_one_and_an_autoscaler_s_replicas_are_left_to_it(
    run_program: Run, requests: Requests
) -> None:
    run_program({"nginx": '{"autoscaling": {"maxReplicas": 5}}'})
    asked = {key: (list(request.replaceOnChanges), list(request.ignoreChanges)) for key, request in requests.items()}
    assert asked["NetworkPolicy", "nginx"] == (["spec"], [])
    assert asked["Deployment", "nginx"] == ([], ["spec.replicas"])
    assert asked["Deployment", "tempo"] == ([], [])


def test_parts_of_tempo_that_list_the_bucket_start_after_the_ingesters_and_a_compactor(
    run_program: Run, dependencies: dict[tuple[str, str], set[tuple[str, str]]]
) -> None:
    # One process that becomes an ingester writes what it holds to the bucket first, and a compactor lists it.
    run_case("distributed", run_program)
    ingesters, compactors = ("StatefulSet", "tempo"), ("Deployment", "tempo-compactor")
    assert ingesters in dependencies[compactors]
    for part in ("querier", "query-frontend"):
        assert {ingesters, compactors} <= dependencies["Deployment", f"tempo-{part}"]
    assert not {ingesters, compactors} & dependencies["Deployment", "tempo-distributor"]
