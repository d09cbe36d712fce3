"""Runs the program under Pulumi's mocks, fresh for each test, and records every registration."""

import asyncio
import datetime
import gc
import runpy
import signal
import sys
from collections.abc import Awaitable, Callable, Collection, Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks, set_all_config
from pulumi.runtime.stack import run_pulumi_func

from components.cluster import backends, checks, identity, nodes, ownership
from components.cluster.findings import Findings
from components.cluster.rollouts import Rollouts
from components.cluster.survey import Survey
from lab.paths import REPOSITORY
from tests.unit.fake_api import ApiOfObjects, FakeApi, serving

SECRET_MARK = "4dabf18193072939515e22adb298388d"  # noqa: S105 - the name of the mark
"""The key by which Pulumi marks a value as secret on the wire."""


TODAY = datetime.date(2026, 11, 26)
"""The day of the tests: the program warns of versions by it."""


@pytest.fixture(autouse=True)
def _day(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction] - pytest uses it
    """Keeps the warnings from changing with the calendar."""
    # `settings.load` is the function.
    monkeypatch.setattr(sys.modules["settings.load"], "today", lambda: TODAY)


@dataclass
class Program:
    """The registrations and outputs of one run of the program."""

    resources: dict[str, list[pulumi.runtime.MockResourceArgs]] = field(
        default_factory=dict[str, list[pulumi.runtime.MockResourceArgs]]
    )
    outputs: dict[str, Any] = field(default_factory=dict[str, Any])
    order: list[str] = field(default_factory=list[str])
    """The resources' names as they were registered."""
    state: dict[str, Any] | str | None = None
    """The resources of the state by URN, or the reason why it cannot be read. None: the program must not ask."""

    def inputs(self, kind: str) -> dict[str, dict[str, Any]]:
        """Returns the inputs of all resources of a kind (the last part of its type), by resource name."""
        return {
            resource.name: dict(resource.inputs)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            for token, resources in self.resources.items()
            for resource in resources
            if token.split(":")[-1] == kind
        }

    def objects(self) -> list[dict[str, Any]]:
        """Returns the inputs of all Kubernetes objects."""
        return [
            dict(resource.inputs)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            for token, resources in self.resources.items()
            for resource in resources
            if token.startswith("kubernetes:")
        ]

    def workloads(self) -> dict[str, dict[str, Any]]:
        """Returns the inputs of the Deployments and StatefulSets, by resource name."""
        return self.inputs("Deployment") | self.inputs("StatefulSet")

    def pods(self) -> dict[str, dict[str, Any]]:
        """Returns the pod templates by workload."""
        return {name: inputs["spec"]["template"] for name, inputs in self.workloads().items()}


class Recorder(pulumi.runtime.Mocks):
    """Answers as a cluster does: with ids, NodePorts, and generated names."""

    def __init__(
        self, program: Program, *, preview: bool, balancer: dict[str, str] | None = None, node_ports: bool = True
    ) -> None:
        self._program = program
        self._preview = preview
        self._balancer = balancer
        self._node_ports = node_ports

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """Records a registration."""
        self._program.resources.setdefault(args.typ, []).append(args)
        self._program.order.append(args.name)
        state: dict[str, Any] = dict(args.inputs)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        if args.typ.startswith("kubernetes:"):
            state["metadata"] = {"name": f"{args.name}-1a2b3c4d"} | state.get("metadata", {})
        if args.typ.endswith(":Service"):
            # The API server's dry run also answers with ports. The real Service will get others.
            if self._node_ports:
                ports = [{"nodePort": 31000 + number} | port for number, port in enumerate(state["spec"]["ports"])]
                state["spec"] = state["spec"] | {"ports": ports}
            state["status"] = {"loadBalancer": {"ingress": [self._balancer]} if self._balancer else {}}
        if args.typ == "docker-build:index:Image" and not self._preview:
            state["ref"] = f"{state['tags'][0]}@sha256:{'0' * 64}"
        # In a preview the engine knows no id of a resource that does not exist yet.
        return (None if self._preview else f"{args.name}-id"), state

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        """Answers with the stack's state. The program calls no other function."""
        if "readStackResourceOutputs" not in args.token or self._program.state is None:
            raise AssertionError(f"unexpected call of {args.token}")
        if isinstance(self._program.state, str):
            return {}, [("", self._program.state)]
        return {"outputs": self._program.state}, []


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects the program's warnings."""
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    return said


@pytest.fixture
def api() -> Generator[ApiOfObjects]:
    """Starts an API server without objects, which tests fill."""
    with serving(ApiOfObjects()) as made:
        yield made


Requests = dict[tuple[str, str], Any]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Requests:
    """Collects what the engine is asked for each resource, by the last part of its type and its name."""
    asked: Requests = {}
    register: Any = vars(mocks.MockMonitor)["RegisterResource"]

    def recorded(monitor: mocks.MockMonitor, request: Any) -> Any:
        asked[request.type.rpartition(":")[2], request.name] = request
        return register(monitor, request)

    monkeypatch.setattr(mocks.MockMonitor, "RegisterResource", recorded)
    return asked


Run = Callable[..., Program]
Serve = Callable[[FakeApi], FakeApi]


@pytest.fixture
def serve() -> Generator[Serve]:
    """Starts API servers, which end with the test."""
    with ExitStack() as servers:
        yield lambda api: servers.enter_context(serving(api))


def _registered(_: object) -> asyncio.Future[None]:
    done: asyncio.Future[None] = _loop.create_future()
    done.set_result(None)
    return done


# One loop for all tests: the SDK makes the stack's own resource once, in this loop.
_loop = asyncio.new_event_loop()


@pytest.fixture(autouse=True)
def _stack() -> None:  # pyright: ignore[reportUnusedFunction]
    """Sets up an engine for tests that ask only for the stack's name."""
    asyncio.set_event_loop(_loop)
    mocks.set_mocks(Recorder(Program(), preview=False), project="nginx-tracing", stack="test", preview=False)


@pytest.fixture
def run_program(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `__main__.py`, or another program, with a configuration, on the cluster that the configuration names.

    A node has the address 192.0.2.7 by default. `found` has the addresses behind Services without pods.
    """

    def run(
        configuration: dict[str, str] | None = None,
        *,
        secrets: Collection[str] = ("registryPassword",),
        preview: bool = False,
        node: Callable[[], str] | None = None,
        balancer: dict[str, str] | None = None,
        node_ports: bool = True,
        survey: Callable[..., Awaitable[Survey]] | None = None,
        way_back: Callable[..., Awaitable[None]] | None = None,
        program: Program | None = None,
        found: Collection[tuple[str, int]] = (),
        main: Path = REPOSITORY / "__main__.py",
    ) -> Program:
        async def address(*_: object) -> str:
            return node() if node else "192.0.2.7"

        def start_nothing(_: Rollouts) -> None:
            """Does nothing: a thread would outlive the test."""

        async def replaced(_: Rollouts, __: str, stateful_set: pulumi.Resource, *___: object) -> pulumi.Resource:
            return stateful_set

        async def found_nothing(*_: object, **__: object) -> Findings:
            return Findings()

        def server(*_: object) -> str:
            return given.get("cluster", "https://192.0.2.1:6443")

        async def surveyed_nothing(*_: object, **__: object) -> Survey:
            return Survey()

        async def read_backends(services: Collection[tuple[str, str, int]], *_: object) -> dict[Any, Any]:
            return {service: list(found) for service in services}

        given = configuration or {}
        program = program or Program()
        mains: list[Callable[[], Awaitable[pulumi.Inputs]]] = []
        monkeypatch.setattr(nodes, "read_node_address", address)
        monkeypatch.setattr(identity, "read_server", server)
        monkeypatch.setattr(ownership, "survey", survey or surveyed_nothing)
        monkeypatch.setattr(checks, "preflight", found_nothing)
        monkeypatch.setattr(checks, "check_way_back", way_back or surveyed_nothing)
        monkeypatch.setattr(checks, "warn_of_kubernetes", surveyed_nothing)
        monkeypatch.setattr(checks, "warn_of_hidden_traces", surveyed_nothing)
        monkeypatch.setattr(Rollouts, "start", start_nothing)
        monkeypatch.setattr(Rollouts, "replaced", replaced)
        monkeypatch.setattr(backends, "read_backends", read_backends)
        # Mocks have no stack in which the SDK could run the program.
        monkeypatch.setattr(pulumi, "run", mains.append)
        # Mocks have no server for an engine to call hooks on.
        monkeypatch.setattr(pulumi.resource_hooks, "register_error_hook", _registered)
        monkeypatch.setattr(pulumi.resource_hooks, "register_resource_hook", _registered)
        recorder = Recorder(program, preview=preview, balancer=balancer, node_ports=node_ports)
        mocks.set_mocks(recorder, project="nginx-tracing", stack="test", preview=preview)
        secret_keys = [f"nginx-tracing:{key}" for key in given if key in secrets]
        # A key with a colon names its namespace. The others are the project's.
        named = {key if ":" in key else f"nginx-tracing:{key}": value for key, value in given.items()}
        set_all_config(named, secret_keys)

        async def everything() -> None:
            runpy.run_path(str(main), run_name="__main__")
            for entry in mains:
                for name, value in (await entry()).items():
                    output: pulumi.Output[Any] = pulumi.Output.from_input(value)
                    program.outputs[name] = await output.future() if await output.is_known() else "unknown"

        at_interrupt = signal.getsignal(signal.SIGINT)
        # This also waits for the registrations that go on after the program's last line.
        _loop.run_until_complete(run_pulumi_func(everything))
        # The program ends here; the process does not.
        gc.unfreeze()
        gc.enable()
        signal.signal(signal.SIGINT, at_interrupt)
        return program

    return run
