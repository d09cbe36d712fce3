"""Checks that the baseline is the tutorial's stack with its wiring fixed, and nothing else."""

import json

import yaml

from tools.measure.baseline.deploy import manifests, on_the_lab


def test_every_service_selects_the_pods_of_one_workload() -> None:
    workloads = [item for item in manifests() if item["kind"] == "Deployment"]
    services = [item for item in manifests() if item["kind"] == "Service"]
    assert (len(workloads), len(services)) == (3, 3)
    for service in services:
        selector = service["spec"]["selector"].items()
        assert len([one for one in workloads if selector <= one["spec"]["template"]["metadata"]["labels"].items()]) == 1


def test_no_object_names_a_namespace_and_no_limit_of_a_program_is_changed() -> None:
    for item in manifests():
        assert "namespace" not in item["metadata"]
    documents = {
        name: yaml.safe_load(text)
        for item in manifests()
        if item["kind"] == "ConfigMap"
        for name, text in item["data"].items()
        if name != "nginx.conf"
    }
    assert set(documents["config.yml"]) == {"server", "distributor", "storage"}
    collector = documents["otel-collector-config.yaml"]
    assert collector["processors"] == {"batch": {"timeout": "5s", "send_batch_size": 1024}}
    assert set(collector["exporters"]["otlp/tempo"]) == {"endpoint", "tls"}


def test_on_the_lab_it_runs_the_lab_s_images_and_no_other() -> None:
    images = [
        container["image"]
        for item in on_the_lab()
        if item["kind"] == "Deployment"
        for container in item["spec"]["template"]["spec"]["containers"]
    ]
    assert len(images) == 3
    assert all(image.startswith("localhost:5000/lab/") for image in images), json.dumps(images)
