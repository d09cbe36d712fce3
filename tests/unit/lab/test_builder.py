"""Tests what a person sees of a build: a failure names the target and its log, a second call builds nothing."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lab.build import builder, images, on_demand, target, targets
from lab.build.target import Run, Target
from lab.errors import LabError
from lab.paths import REPOSITORY
from lab.progress import Progress


def _always(value: object) -> Callable[..., object]:
    def answer(*_: object) -> object:
        return value

    return answer


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr(builder, "CACHE", folder)
    monkeypatch.setattr(builder, "BIN", folder / "bin")
    monkeypatch.setattr(on_demand, "BIN", folder / "bin")
    monkeypatch.setattr(on_demand, "CACHE", folder)
    monkeypatch.setattr(target, "CACHE", folder)
    monkeypatch.setattr(builder, "compiler_version", _always("1"))
    monkeypatch.setattr(target, "compiler_version", _always("1"))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "main.go").write_text("package main")
    return folder


def thing(source: Path, *command: str, name: str = "thing") -> Target:
    def make(run: Run, folder: Path) -> None:
        run([*command] or ["true"])
        (folder / name).write_text("built")
        with (source.parent / f"{name}.count").open("a") as count:
            count.write("x")

    return Target(name, f"the {name}", 1, source, "go", "", make)


def times_built(source: Path, name: str = "thing") -> int:
    file = source.parent / f"{name}.count"
    return len(file.read_text()) if file.exists() else 0


def test_a_second_build_builds_nothing(source: Path) -> None:
    builder.build([thing(source)], Progress())
    builder.build([thing(source)], Progress())
    assert times_built(source) == 1


def test_a_changed_input_builds_again_and_drops_the_old_result(source: Path, cache: Path) -> None:
    builder.build([thing(source)], Progress())
    (source / "main.go").write_text("package main // changed")
    builder.build([thing(source)], Progress())
    assert times_built(source) == 2
    assert len(list((cache / "pieces").glob("thing-*"))) == 1


def test_documentation_is_not_an_input(source: Path) -> None:
    builder.build([thing(source)], Progress())
    (source / "README.md").write_text("new")
    builder.build([thing(source)], Progress())
    assert times_built(source) == 1


def test_a_failed_build_names_the_target_and_its_log_and_keeps_nothing_half_made(source: Path, cache: Path) -> None:
    with pytest.raises(LabError) as failure:
        builder.build([thing(source, "sh", "-c", "echo no such module; exit 3")], Progress())
    log = cache / "logs" / "thing.log"
    assert str(failure.value) == (
        "thing could not be built: `sh -c echo no such module; exit 3` exited with 3. "
        f"Its log: {log}\n$ sh -c echo no such module; exit 3\nno such module\n\n"
        "The finished builds are kept: the same command resumes from here."
    )
    assert not list((cache / "pieces").iterdir())


def test_what_was_built_beside_a_failure_is_kept(source: Path) -> None:
    good, bad = thing(source, name="good"), thing(source, "false", name="bad")
    with pytest.raises(LabError):
        builder.build([good, bad], Progress())
    with pytest.raises(LabError):
        builder.build([good, bad], Progress())
    assert times_built(source, "good") == 1


def test_too_small_a_disk_is_named_before_anything_is_built(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    little = shutil.disk_usage("/")._replace(free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", _always(little))
    with pytest.raises(LabError, match=r"0\.0 GiB free; building thing needs up to \d+ GiB"):
        builder.build([thing(source)], Progress())
    assert times_built(source) == 0


def test_a_missing_compiler_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(shutil, "which", _always(None))
    target.compiler_version.cache_clear()
    with pytest.raises(LabError, match=r"`go` was not found.*Go 1\.26\.7 or later"):
        target.compiler_version("go")


def test_every_go_target_has_its_checksums_committed() -> None:
    for each in targets.ALL_TARGETS:
        if each.compiler == "go":
            listed = subprocess.run(
                ["git", "ls-files", "go.sum"], check=True, cwd=each.source, capture_output=True, text=True
            )
            assert listed.stdout.strip() == "go.sum", each.name


def test_a_build_tells_how_long_it_will_take_by_this_machine_s_own_times(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(builder, "_parallel_builds", _always(2))
    cache.mkdir()
    (cache / "build-times.json").write_text('{"known": 300}')
    builder.build([thing(source, name="known"), thing(source, name="new")], Progress())
    # A target without a time here takes its usual second twice as long beside another one.
    assert "2 to build, 2 at a time, about 2.5 min; logs in" in capsys.readouterr().err


def test_a_build_of_everything_asks_for_the_whole_disk_space(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "ALL_TARGETS", (thing(source), thing(source, name="other")))
    little = shutil.disk_usage("/")._replace(free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", _always(little))
    with pytest.raises(LabError, match=r"building thing, other needs up to 30 GiB"):
        builder.build(builder.ALL_TARGETS, Progress())
    with pytest.raises(LabError, match=r"building thing needs up to 15 GiB"):
        builder.build([thing(source)], Progress())


def test_go_gets_the_settings_that_make_it_faster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[tuple[list[str], dict[str, str]]] = []

    def run(command: list[str], cwd: Path, env: dict[str, str]) -> None:
        assert cwd == targets.KUBERNETES.source
        ran.append((command, env))

    targets.COREDNS.make(run, tmp_path)
    ((command, environment),) = ran
    assert command[-4:] == ["-s -w", "-o", str(tmp_path / "coredns"), "./coredns"]
    assert "-gcflags=all=-dwarf=false" in command
    assert environment["GOGC"] == "400"


def test_a_stack_without_images_to_build_needs_no_docker_build_provider() -> None:
    assert targets.DOCKER_BUILD_PROVIDER not in (*targets.CLUSTER_TARGETS, *targets.OSS_STACK_TARGETS)


def started(folder: Path, cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Starts the program that is built on demand, in a folder that is no checkout, as Pulumi does."""
    program = cache / "bin" / targets.DOCKER_BUILD_PROVIDER.name
    return subprocess.run(
        [program, "127.0.0.1:1"],
        check=False,
        cwd=folder,
        env={"PATH": str(folder), "HOME": str(folder)} | environment,
        capture_output=True,
        text=True,
    )


def test_a_program_of_a_target_that_is_not_built_builds_it_first_wherever_it_is_started(
    tmp_path: Path, cache: Path
) -> None:
    on_demand.provide(targets.DOCKER_BUILD_PROVIDER)
    # Without Go on PATH, the build ends at its first step.
    ended = started(tmp_path, cache)
    assert ended.returncode == 1
    assert ended.stdout == "", "Pulumi reads the provider's port from there"
    assert ended.stderr.startswith("error: `go` was not found.")


def test_a_program_is_built_on_demand_into_the_cache_that_has_its_script(tmp_path: Path, cache: Path) -> None:
    on_demand.provide(targets.DOCKER_BUILD_PROVIDER)
    go = tmp_path / "go"
    # `go env GOVERSION`, then the folders of its caches, and then it fails.
    go.write_text('#!/bin/sh\n[ "$1" = env ] || exit 3\n[ "$2" = GOVERSION ] && echo go1.26.7\nexit 0\n')
    go.chmod(0o755)
    ended = started(tmp_path, cache)
    assert ended.returncode == 1
    assert f"Its log: {cache}/logs/pulumi-resource-docker-build.log" in ended.stderr
    assert not (tmp_path / ".cache").exists()


@pytest.mark.parametrize("lost", ["checkout", "python"])
def test_a_program_whose_checkout_or_environment_is_gone_names_the_command(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    gone = tmp_path / "it's gone"
    if lost == "checkout":
        monkeypatch.setattr(on_demand, "REPOSITORY", gone)
    else:
        monkeypatch.setattr(sys, "executable", str(gone / "python"))
    on_demand.provide(targets.DOCKER_BUILD_PROVIDER)
    ended = started(tmp_path, cache)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "error: pulumi-resource-docker-build is not built yet, and the checkout that was to build it is gone or has "
        f"lost its Python environment: {on_demand.REPOSITORY}. Run this in a checkout of nginx-tracing, and try again: "
        "make lab-up\n"
    )


def test_a_change_of_the_target_that_another_starts_from_builds_both_again(source: Path, tmp_path: Path) -> None:
    first = thing(source)
    second = replace(thing(tmp_path / "nothing", name="second"), starts_from=first)
    before = second.folder
    (source / "main.go").write_text("package changed")
    assert second.folder != before


def test_a_program_takes_the_place_of_its_build_and_of_the_script(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demanded = thing(source, name="pulumi-resource-docker-build")
    monkeypatch.setattr(on_demand, "ON_DEMAND_TARGETS", (demanded,))
    monkeypatch.setattr(builder, "DOCKER_BUILD_PROVIDER", demanded)
    monkeypatch.setattr(sys, "argv", ["on_demand", demanded.name, "127.0.0.1:1"])
    became: list[tuple[Path, list[str]]] = []
    monkeypatch.setattr(os, "execv", lambda *call: became.append(call))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    on_demand.provide(demanded)
    assert not (cache / "bin" / demanded.name).is_symlink()
    on_demand.main()
    assert became == [(demanded.folder / demanded.name, [demanded.name, "127.0.0.1:1"])]
    assert (cache / "bin" / demanded.name).read_text() == "built"
    on_demand.provide(demanded)
    assert (cache / "bin" / demanded.name).read_text() == "built", "a second `make up` keeps what is built"


def test_coredns_image_is_named_after_its_version_in_the_go_mod_of_kubernetes() -> None:
    assert images.coredns_image().name == "lab/coredns:v1.11.3"


def test_coredns_has_the_plugins_of_the_lab_s_corefile_and_no_other() -> None:
    manifest = (REPOSITORY / "lab" / "cluster" / "manifests" / "coredns.yaml").read_text()
    program = (targets.COREDNS.source / "coredns" / "main.go").read_text()
    used = re.findall(r"^ {8}([a-z]+)\b", manifest[manifest.index("Corefile:") :].partition("\n---")[0], re.MULTILINE)
    assert re.findall(r"coredns/plugin/([a-z]+)", program) == sorted(used)
