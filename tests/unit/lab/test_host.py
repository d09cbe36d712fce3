"""Tests what a person is told if the machine is not fit for the lab."""

import os

import pytest

from lab.build import images
from lab.cluster import host
from lab.errors import LabError
from lab.paths import REPOSITORY
from lab.stack import STACK_FILES


def test_without_root_the_message_names_sudo_and_the_way_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError) as refusal:
        host.require_root("lab-up")
    assert str(refusal.value) == (
        "The embedded lab needs root: it makes network namespaces, mounts and cgroups. "
        'Run `sudo env "PATH=$PATH" make lab-up`, or install kind and start Docker, or name a cluster: '
        "`KUBECONFIG=~/.kube/config make up`."
    )


@pytest.fixture(autouse=True)
def _no_libraries(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """Skips NGINX's libraries, which are looked up in the built program."""

    def none(*_: object) -> dict[str, object]:
        return {}

    monkeypatch.setattr(images, "_shared_libraries", none)


@pytest.mark.parametrize("versions", STACK_FILES)
def test_the_stack_file_of_a_set_names_the_images_that_the_lab_pushes(versions: str) -> None:
    stack_file = (REPOSITORY / STACK_FILES[versions]).read_text()
    for image in images.oss_stack_images(versions):
        assert f"image: {image.reference}\n" in stack_file


def test_no_image_of_the_lab_carries_an_official_name() -> None:
    assert all(image.name.startswith("lab/") for image in images.oss_stack_images())
