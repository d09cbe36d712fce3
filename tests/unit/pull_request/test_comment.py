"""The comment's content for a reviewer, and the text that must not be in it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from components.documents.nginx import LICENSE_FOLDER
from tests.unit.pull_request.making import Object, error, fixture, multiplied, parsed, preview, rendered, state, step
from tools.pull_request.comment import LIMIT, MARKER, SUMMARY_LIMIT, comment
from tools.pull_request.differences import SECRET_MARK, UNKNOWN
from tools.pull_request.preview_result import read

SECRETS = [f"canary-{number}" for number in range(12)]


def line_of(text: str, part: str) -> int:
    """The number of the one line that has a part."""
    found = [number for number, line in enumerate(text.splitlines()) if part in line]
    assert len(found) == 1, f"{part!r} is in {len(found)} lines of:\n{text}"
    return found[0]


def caution(text: str) -> list[str]:
    """The list in the caution box."""
    return [line.removeprefix("> - ") for line in text.splitlines() if line.startswith("> - ")]


def test_no_secret_and_no_configuration_is_in_the_comment(tmp_path: Path) -> None:
    wrapped = {SECRET_MARK: "1b47061264138c4ac30d75fd1eb44270", "ciphertext": SECRETS[0], "plaintext": SECRETS[1]}
    last_applied = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"password": SECRETS[2]})}
    metadata = {"name": "app", "annotations": last_applied}
    steps = [
        step(
            "update",
            "Secret",
            old={"stringData": {"password": SECRETS[3], "user": SECRETS[4]}, "metadata": metadata},
            new={"stringData": {"password": SECRETS[5], "user": SECRETS[4], "more": SECRETS[6]}, "metadata": metadata},
        ),
        step("create", "Secret", new={"data": {"tls.key": SECRETS[7]}, "metadata": metadata}),
        step("replace", "Secret", old={"data": {"license": SECRETS[8]}}, new={"data": wrapped}),
        step("update", "Image", old={"password": "[secret]", "hub": "a"}, new={"password": wrapped, "hub": "b"}),
        step("update", "ConfigMap", old={}, new={"__inputs": SECRETS[9], "data": {"plain": "shown"}}),
    ]
    steps[0]["newState"]["outputs"] = {"token": SECRETS[10]}
    text = rendered(tmp_path, preview(*steps, config={"nginx-tracing:nginx": SECRETS[11]}))
    assert [secret for secret in SECRETS if secret in text] == []
    assert "+ stringData.password: [secret], another one" in text
    assert "+ stringData.more: [secret]" in text
    assert "stringData.user" not in text, "it stays as it was"
    assert "tls.key: '[secret]'" in text
    assert '+ data.plain: "shown"' in text


def test_a_secret_that_changes_unseen_is_said_to_change(tmp_path: Path) -> None:
    secret = {"data": "[secret]"}
    changed = step("update", "Secret", old=secret, new=secret, detailedDiff={"data.password": {"kind": "update"}})
    text = rendered(tmp_path, preview(changed))
    assert "<code>app</code> of <code>NginxOtel</code>: updated</summary>" in text
    assert "! data.password: changes; its value is secret, or not among the inputs" in text
    assert "! nothing that differs is among its inputs" in rendered(
        tmp_path, preview(step("update", "Pod", old={}, new={}))
    )


def test_cut_off_json_is_not_shown_as_it_begins_with_the_configuration(tmp_path: Path) -> None:
    whole = json.dumps({"config": {"key": SECRETS[0]}, "steps": [state({"data": SECRETS[1]})]}, indent=1)
    text = rendered(tmp_path, "panic: runtime error\n" + whole[:-5])
    assert "panic: runtime error" in text
    assert "| `env0` | - | - | - | - | - | **failed** |" in text
    assert f"The preview's JSON is broken; {len(whole) - 5} characters of it are not shown" in text
    assert [secret for secret in SECRETS if secret in text] == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "The preview left an empty file."),
        ("error: no stack named 'dev' found\n", "error: no stack named 'dev' found"),
        ("{}", "The preview failed."),
        ("[]", "The preview's JSON is broken"),
        ('{"steps": [{"op": "create"}]}', "The preview's JSON is broken"),
    ],
)
def test_what_is_no_preview_is_one_that_failed(tmp_path: Path, content: str, said: str) -> None:
    text = rendered(tmp_path, content)
    assert said in text
    assert re.search(r"^\| `env0` .* \| \*\*failed\*\* \|$", text, re.MULTILINE)


def test_an_error_is_said_once_without_colours_and_what_follows_from_it_is_not(tmp_path: Path) -> None:
    diagnostics = [
        error("error: \x1b[31mboom\x1b[0m"),
        error("boom"),
        {"message": "note: not an error", "severity": "info#err"},
        error("an unhandled error occurred: program exited with non-zero exit code: 1"),
        error("preview failed"),
        error("using pulumi-language-python from $PATH at /usr/local/bin/pulumi-language-python", "warning"),
        error("the node has no address", "warning"),
    ]
    text = rendered(tmp_path, preview(diagnostics=diagnostics))
    assert text.count("```\nboom\n```") == 1
    assert "<details><summary>1 warning</summary>\n\n```\nthe node has no address\n```" in text
    for unsaid in ("unhandled", "```\npreview failed", "not an error", "$PATH", "error: ", "\x1b"):
        assert unsaid not in text


def test_a_failure_that_the_json_does_not_explain_is_said_to_be_one(tmp_path: Path) -> None:
    text = rendered(tmp_path, fixture("refused"))
    assert "```\npreview failed\n```" in text
    assert "It names no violations of policies" in text


def test_a_new_version_is_no_danger_but_its_move_or_deletion_is(tmp_path: Path) -> None:
    def versions(reason: str) -> Object:
        named = [
            {"metadata": {"name": f"app-{end}", "annotations": {"pulumi.com/autonamed": "true"}}, "data": {"a": end}}
            for end in ("0000000a", "0000000b")
        ]
        return step("replace", "ConfigMap", old=named[0], new=named[1], replaceReasons=[reason])

    version, moved = versions("data.a"), versions("metadata.namespace")
    text = rendered(tmp_path, preview(version))
    assert caution(text) == []
    assert "| `env0` | 0 | 0 | 1 | 0 | 0 | changes |" in text
    assert "<code>ConfigMap</code> <code>app</code> of <code>NginxOtel</code>: new version, -1 +1" in text
    text = rendered(tmp_path, preview(moved))
    assert caution(text) == ["`ConfigMap` `app` is replaced because of `metadata.namespace`"]
    deleted = version | {"op": "delete"}
    del deleted["newState"]
    assert caution(rendered(tmp_path, preview(deleted))) == ["`ConfigMap` `app` is deleted"]
    claim = version | {"urn": version["urn"].replace("ConfigMap", "PersistentVolumeClaim")}
    assert "the data on its volume is lost" in caution(rendered(tmp_path, preview(claim)))[0]
    named = step("replace", "ConfigMap", old={"data": {"a": "b"}}, new={"data": {}}, replaceReasons=["data"])
    assert caution(rendered(tmp_path, preview(named))) == ["`ConfigMap` `app` is replaced because of `data`"]


def test_what_loses_data_is_first_in_the_box_and_says_so(tmp_path: Path) -> None:
    steps = [step("delete", kind, old={}) for kind in ("Deployment", "StatefulSet", "PersistentVolumeClaim")]
    steps.append(step("replace", "Namespace", old={}, new={}, replaceReasons=["metadata.name"]))
    text = rendered(tmp_path, preview(*steps))
    assert "> **3 resources are deleted, 1 resource is replaced.**" in text
    assert caution(text) == [
        "`PersistentVolumeClaim` `app` is deleted: **the data on its volume is lost, unless the volume's reclaim "
        "policy keeps it**",
        "`StatefulSet` `app` is deleted: **its pods' data is lost, except on claims that its retention policy keeps**",
        "`Namespace` `app` is replaced because of `metadata.name`: **everything in it is deleted with it, and its "
        "data is lost**",
        "`Deployment` `app` is deleted",
    ]


def test_environments_come_as_given_and_dangers_before_updates_before_creations(tmp_path: Path) -> None:
    steps = [
        step("create", "Job", new={"spec": {}}),
        step("update", "Service", old={"a": 1}, new={"a": 2}),
        step("delete", "Pod", old={}),
    ]
    text = rendered(tmp_path, preview(*steps), preview(), preview(diagnostics=[error("boom")]))
    lines = [
        line_of(text, part)
        for part in (
            "| `env0` |",
            "| `env1` |",
            "| `env2` |",
            "### `env0`",
            "`Pod`",
            ">Service<",
            ">Job<",
            "### `env2`",
        )
    ]
    assert lines == sorted(lines)
    assert "### `env1`" not in text, "the table has said it"


def test_a_value_that_is_not_known_yet_is_not_shown_as_the_placeholder(tmp_path: Path) -> None:
    steps = [
        step(
            "update",
            "Deployment",
            old={"image": "nginx:1", "conf": "a\nb\nc\n"},
            new={"image": UNKNOWN, "conf": UNKNOWN, "arguments": [f"--url=http://{UNKNOWN}/"]},
        )
    ]
    text = rendered(tmp_path, preview(*steps))
    assert '- image: "nginx:1"\n+ image: known after deployment' in text
    assert "- conf: 3 lines\n+ conf: known after deployment" in text
    assert '+ arguments[0]: "--url=http://known after deployment/"' in text
    assert UNKNOWN not in text


EVIL = "```\n\n</details>\n<script>@everyone #1 [x](http://evil.example)\n> [!CAUTION]\n````\n~~~\n" + MARKER + "\n"


def test_nothing_in_a_preview_gets_out_of_its_place(tmp_path: Path) -> None:
    kind = "Kind`|<b>@admins</b>"
    steps = [
        step("update", "ConfigMap", old={"data": {"nginx.conf": "a\n"}}, new={"data": {"nginx.conf": EVIL}}),
        step("create", "ConfigMap", new={"data": {"nginx.conf": EVIL, EVIL: EVIL}}),
        step("delete", kind, old={"metadata": {"name": EVIL}}),
        step("update", kind, old={"metadata": {"name": EVIL}}, new={"metadata": {"name": EVIL}, EVIL: 1}),
        step("replace", kind, old={}, new={}, replaceReasons=[EVIL]),
    ]
    diagnostics = [error(EVIL), error(EVIL, "warning")]
    text = rendered(tmp_path, preview(*steps, diagnostics=diagnostics), EVIL)
    assert text.splitlines()[0] == MARKER
    assert text.count(MARKER) == 1
    tokens = parsed(text)
    prose = [token.content for token in tokens if token.type in {"text", "html_inline"}]
    assert [part for part in prose if "@" in part or "evil" in part or "<" in part] == []
    allowed = (
        r"(<details><summary>[^<]*((<code>[^<]*</code>)[^<]*)*</summary>|</details>|<!-- nginx-tracing preview -->)\n?"
    )
    html = [token.content for token in tokens if token.type == "html_block"]
    assert [part for part in html if not re.fullmatch(allowed, part)] == []
    assert not any(re.search(r"@\w", part) for part in html)
    assert html.count("</details>\n") + html.count("</details>") == 5
    # The text of each fence is there to its end, but for the object that only got the same inputs again.
    fences = [token.content for token in tokens if token.type == "fence"]
    assert [content for content in fences if "~~~" not in content] == ["! nothing that differs is among its inputs\n"]
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h2", "h3", "h3"]


def test_a_change_too_large_for_a_comment_is_cut_where_it_is_missed_least(tmp_path: Path) -> None:
    document = preview(*multiplied("first", 4), *multiplied("edit", 25), *multiplied("replacement", 3))
    text = rendered(tmp_path, document)
    # A difference that does not fit any more has up to 10 000 characters here.
    assert LIMIT - 10_000 < len(text) <= LIMIT
    said = re.search(r"^\*\*(\d+) of (\d+) differences are left out here\*\*", text, re.MULTILINE)
    assert said
    left_out, of_all = int(said[1]), int(said[2])
    shown = re.findall(r"<details><summary>.*: (updated|replaced|new version|created)", text)
    named = re.findall(r"^- \S+ `.*` \((updated|replaced|new version|created)\)$", text, re.MULTILINE)
    assert len(named) == left_out
    assert len(shown) + left_out == of_all == 4 * 16 + 25 * 4 + 3 * 16
    assert named.count("created") == 4 * 16
    assert 0 < named.count("new version") < 2 * 25
    assert shown.count("updated") == 2 * 25
    assert shown.count("replaced") == 3 * 16
    assert len(caution(text)) == 3 * 16, "what goes away is never left out"


def test_where_the_rest_is_it_is_said_and_there_is_room_for_it_there(tmp_path: Path) -> None:
    (tmp_path / "dev.json").write_text(json.dumps(fixture("large")))
    environments = [read("dev", tmp_path / "dev.json")]
    assert "`pulumi preview --diff` has them:" in comment(environments)
    said = comment(environments, run="https://github.example/o/r/actions/runs/7")
    assert "no room for more; [the run's summary](https://github.example/o/r/actions/runs/7) has them:" in said
    summary = comment(environments, limit=SUMMARY_LIMIT)
    assert LIMIT < len(summary.encode()) < 2**20, "GitHub's limit of a summary"
    assert "left out" not in summary


def test_a_preview_that_saw_no_cluster_is_told_from_one_that_did(tmp_path: Path) -> None:
    diagnostics = [
        error("this preview did not check that the cluster is https://192.0.2.1:6443: no usable kubeconfig", "warning"),
        error("the cluster cannot be reached: no usable kubeconfig\nThis preview compares with …", "warning"),
        error("the node has no address", "warning"),
    ]
    text = rendered(tmp_path, preview(diagnostics=diagnostics))
    assert "| no changes, **cluster not seen** |" in text
    seen, _, folded = text.partition("<details>")
    assert "this preview did not check that the cluster is https://192.0.2.1:6443" in seen
    assert "the cluster cannot be reached" in seen
    assert folded.startswith("<summary>1 warning</summary>\n\n```\nthe node has no address\n```")


def test_a_new_version_of_a_policy_is_no_danger_and_a_named_one_that_is_replaced_is(tmp_path: Path) -> None:
    auto_named = {"metadata": {"name": "nginx-0a1b2c3d", "annotations": {"pulumi.com/autonamed": "true"}}}
    for inputs, verdict in ((auto_named, "changes"), ({}, "**replaces or deletes**")):
        replaced = step("replace", "NetworkPolicy", old=inputs, new=inputs, replaceReasons=["spec"])
        assert f"| {verdict} |" in rendered(tmp_path, preview(replaced))


def test_a_new_document_is_a_block_whatever_its_blanks_are(tmp_path: Path) -> None:
    data = {"nginx.conf": "server {\t\n\tlisten 80; \n\n}\n"}
    text = rendered(tmp_path, preview(step("create", "ConfigMap", new={"data": data})))
    assert "  nginx.conf: |\n    server {\n            listen 80;\n\n    }\n" in text


def test_the_longest_updates_are_left_out_first(tmp_path: Path) -> None:
    steps = [
        step("update", "ConfigMap", old={"metadata": {"name": f"n{size}"}}, new={"data": {"a": "x" * size}})
        for size in (30_000, 100, 50_000, 200)
    ]
    for one in steps:
        one["newState"]["inputs"]["metadata"] = one["oldState"]["inputs"]["metadata"]
    text = rendered(tmp_path, preview(*steps))
    assert "**1 of 4 differences are left out here**" in text
    assert "- `ConfigMap` `n50000` (updated)" in text


def test_a_character_that_counts_twice_is_counted_twice(tmp_path: Path) -> None:
    text = rendered(tmp_path, preview(step("update", "ConfigMap", old={}, new={"data": {"a": "🙂" * 40_000}})))
    assert "**1 of 1 differences are left out here**" in text


@pytest.mark.parametrize(
    "document",
    [
        preview(diagnostics=[error(f"beginning {'x' * 500_000} end")]),
        preview(diagnostics=[error(f"beginning\n{'x' * 500_000}\nend", "warning")]),
        f"beginning {'🙂' * 500_000} end",
    ],
    ids=["error", "warning", "text"],
)
def test_a_text_that_is_too_long_loses_its_middle_and_says_how_much(tmp_path: Path, document: Object | str) -> None:
    text = rendered(tmp_path, document)
    assert len(text) <= LIMIT
    said = re.search(r"… (\d+) characters are left out here …", text)
    assert said
    assert 490_000 < int(said[1]) < 500_020
    assert "beginning" in text
    assert "end" in text


@pytest.mark.parametrize("count", [400, 1_400])
def test_even_a_comment_of_dangers_alone_is_short_enough(tmp_path: Path, count: int) -> None:
    environments = [preview(*multiplied("replacement", count // 16), diagnostics=[error("🙂" * 9_000)])] * 4
    text = rendered(tmp_path, *environments)
    assert len(text.encode("utf-16-le")) // 2 <= LIMIT
    assert text.count(f"> **{count // 16 * 16} resources are replaced.**") == 4
    listed = len(caution(text)) - 4
    more = [
        int(number)
        for number in re.findall(r"^> - …and (\d+) more: `pulumi preview --diff` has them\.$", text, re.MULTILINE)
    ]
    assert listed + sum(more) == 4 * (count // 16 * 16)


def workload(kind: str, **images: str) -> Object:
    """A workload's inputs, by its containers' images."""
    containers = [{"name": name.replace("_", "-"), "image": image} for name, image in images.items()]
    return {"kind": kind, "spec": {"template": {"spec": {"containers": containers}}}}


def versions_of(text: str) -> list[str]:
    """The list of versions."""
    _, _, rest = text.partition("**Versions**\n\n")
    return [line.removeprefix("- ") for line in rest.partition("\n\n")[0].splitlines()]


def test_an_upgrade_names_each_program_s_versions_and_what_its_pods_do(tmp_path: Path) -> None:
    steps = [
        step(
            "update",
            "Deployment",
            old=workload("Deployment", nginx="nginx:1.27.4-otel"),
            new=workload("Deployment", nginx="nginx:1.30.7-otel"),
        ),
        step(
            "update",
            "Deployment",
            old=workload("Deployment", otel_collector="otel/opentelemetry-collector:0.126.0"),
            new=workload("Deployment", otel_collector="ghcr.io/a/opentelemetry-collector:0.160.0@sha256:" + "0" * 64),
        ),
        step(
            "update",
            "StatefulSet",
            old=workload("StatefulSet", tempo="grafana/tempo:2.7.2", gateway="nginx:1.27.4-otel"),
            new=workload("StatefulSet", tempo="grafana/tempo:2.10.8", gateway="nginx:1.30.7-otel"),
        ),
        step(
            "update",
            "Deployment",
            old=workload("Deployment", grafana="grafana/grafana:12.4.15"),
            new=workload("Deployment", grafana="registry.example/grafana:13.2.0"),
        ),
    ]
    assert versions_of(rendered(tmp_path, preview(*steps))) == [
        "NGINX `1.27.4` → `1.30.7`: pods roll.",
        "the Collector `0.126.0` → `0.160.0`: pods roll.",
        "Tempo `2.7.2` → `2.10.8`: pods are replaced one after the other.",
        "NGINX, Tempo's gateway `1.27.4` → `1.30.7`: pods are replaced one after the other.",
        "Grafana `12.4.15` → `13.2.0`: pods roll.",
    ]


ONE_AFTER_THE_OTHER = "pods are replaced one after the other."
NO_WAY_BACK = " **There is no way back: Tempo 2 does not read what Tempo 3 has written.**"


@pytest.mark.parametrize(
    ("kind", "before", "after", "said"),
    [
        ("StatefulSet", "2.10.8", "3.0.3", ONE_AFTER_THE_OTHER + NO_WAY_BACK),
        (
            "StatefulSet",
            "3.0.3",
            "2.10.8",
            f"{ONE_AFTER_THE_OTHER} **Tempo 2 does not read what Tempo 3 has written: the traces on the volume are "
            "lost to it.**",
        ),
        ("StatefulSet", "3.0.2", "3.0.3", ONE_AFTER_THE_OTHER),
        # Without a volume there is nothing to read.
        ("Deployment", "2.10.8", "3.0.3", "pods roll."),
        ("Deployment", "3.0.3", "2.10.8", "pods roll."),
    ],
)
def test_a_change_to_tempo_3_and_back_says_that_its_format_is_one_way(
    kind: str, before: str, after: str, said: str, tmp_path: Path
) -> None:
    old, new = (workload(kind, tempo=f"grafana/tempo:{version}") for version in (before, after))
    text = rendered(tmp_path, preview(step("update", kind, old=old, new=new)))
    assert versions_of(text) == [f"Tempo `{before}` → `{after}`: {said}"]


@pytest.mark.parametrize(("before", "after"), [("3.0.3", "latest"), ("latest", "3.0.3"), ("edge", "latest")])
def test_a_version_that_no_tag_shows_claims_nothing(before: str, after: str, tmp_path: Path) -> None:
    old, new = (workload("StatefulSet", tempo=f"grafana/tempo:{tag}") for tag in (before, after))
    (line,) = versions_of(rendered(tmp_path, preview(step("update", "StatefulSet", old=old, new=new))))
    shown = [tag if tag == "3.0.3" else f"grafana/tempo:{tag}" for tag in (before, after)]
    assert line == f"Tempo `{shown[0]}` → `{shown[1]}`: {ONE_AFTER_THE_OTHER}"


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (("Deployment", "StatefulSet"), "a StatefulSet takes the place of the Deployment." + NO_WAY_BACK),
        (("StatefulSet", "Deployment"), "a Deployment takes the place of the StatefulSet."),
    ],
)
def test_a_component_that_gets_or_loses_its_volume_has_its_versions_in_the_list(
    kinds: tuple[str, str], said: str, tmp_path: Path
) -> None:
    before, after = kinds
    steps = [
        step("create", after, new=workload(after, tempo="grafana/tempo:3.0.3", gateway="nginx:1.30.7-otel")),
        step("delete", before, old=workload(before, tempo="grafana/tempo:2.10.8", gateway="nginx:1.30.7-otel")),
    ]
    assert versions_of(rendered(tmp_path, preview(*steps))) == [f"Tempo `2.10.8` → `3.0.3`: {said}"]


DIGESTS = tuple(f"@sha256:{digit * 64}" for digit in "01")


@pytest.mark.parametrize(
    ("container", "before", "after"),
    [
        ("nginx", f"nginx:1.30.7-otel{DIGESTS[0]}", f"nginx:1.30.7-otel{DIGESTS[1]}"),
        ("nginx", "nginx:1.30.7-otel", "nginx:1.30.7-alpine-otel"),
        ("tempo", "grafana/tempo:2.10.8", f"mirror.example/grafana/tempo:2.10.8{DIGESTS[0]}"),
        ("tempo", f"grafana/tempo{DIGESTS[0]}", f"mirror.example/hub/grafana/tempo{DIGESTS[0]}"),
        ("otel-collector", "otel/opentelemetry-collector:0.160.0", "ghcr.io/a/opentelemetry-collector-k8s:0.160.0"),
        ("otel-collector", "registry.example/otelcol:0.160.0", "ghcr.io/a/opentelemetry-collector-k8s:0.160.0"),
    ],
)
def test_another_image_of_the_same_version_is_in_no_list_of_versions(
    container: str, before: str, after: str, tmp_path: Path
) -> None:
    old, new = (workload("Deployment", **{container: image}) for image in (before, after))
    assert "**Versions**" not in rendered(tmp_path, preview(step("update", "Deployment", old=old, new=new)))


@pytest.mark.parametrize(
    ("kind", "before", "after", "said"),
    [
        (
            "StatefulSet",
            "0.160.0",
            "0.126.0",
            "pods are replaced one after the other. **Change it alone, and while its queue is empty: 0.126.0 does "
            "not send what a newer Collector left there.**",
        ),
        ("StatefulSet", "0.126.0", "0.160.0", "pods are replaced one after the other."),
        ("StatefulSet", "0.160.0", "0.130.0", "pods are replaced one after the other."),
        ("Deployment", "0.160.0", "0.126.0", "pods roll."),
    ],
)
def test_the_way_back_of_a_collector_with_a_persistent_queue_says_to_wait_until_it_is_empty(
    kind: str, before: str, after: str, said: str, tmp_path: Path
) -> None:
    images = (f"otel/opentelemetry-collector-k8s:{version}" for version in (before, after))
    old, new = (workload(kind, **{"otel-collector": image}) for image in images)
    text = rendered(tmp_path, preview(step("update", kind, old=old, new=new)))
    assert versions_of(text) == [f"the Collector `{before}` → `{after}`: {said}"]


def oss_workload(image: str) -> Object:
    """The workload of open-source NGINX."""
    return workload("Deployment", nginx=image)


def plus_workload(image: str) -> Object:
    """The workload of NGINX Plus, which alone has a license."""
    made = oss_workload(image)
    made["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [
        {"mountPath": "/etc/nginx/nginx.conf"},
        {"mountPath": LICENSE_FOLDER},
    ]
    return made


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("nginx-plus:R34", "nginx-plus:R37.0"),
        ("nginx-plus:R37.0", "nginx-plus:R37.1"),
        ("nginx-plus/modules:37.0.4.1-debian", "nginx-plus/modules:37.0.8.1-debian"),
        ("web:r34-debian", "web:r34-p2-debian"),
    ],
)
def test_a_release_of_plus_has_all_its_numbers(before: str, after: str, tmp_path: Path) -> None:
    old, new = (plus_workload(f"registry.example/{image}{DIGESTS[0]}") for image in (before, after))
    names = [
        f"Plus R{image.partition(':')[2].removesuffix('-debian').lstrip('rR').upper()}" for image in (before, after)
    ]
    text = rendered(tmp_path, preview(step("update", "Deployment", old=old, new=new)))
    assert versions_of(text) == [f"NGINX `{names[0]}` → `{names[1]}`: pods roll."]


@pytest.mark.parametrize("made", [plus_workload, oss_workload])
@pytest.mark.parametrize("tags", [("24.10", "24.12"), ("10.2", "10.3"), ("stable", "edge")])
def test_a_tag_that_names_no_release_is_shown_with_its_image(
    made: Callable[[str], Object], tags: tuple[str, str], tmp_path: Path
) -> None:
    before, after = (f"registry.example/nginx-plus:{tag}" for tag in tags)
    text = rendered(tmp_path, preview(step("update", "Deployment", old=made(before), new=made(after))))
    assert versions_of(text) == [f"NGINX `{before}` → `{after}`: pods roll."]


def test_the_tag_of_an_image_of_open_source_nginx_is_no_release_of_plus(tmp_path: Path) -> None:
    before, after = ("registry.example/web:33.2", "registry.example/web:R34")
    old, new = (workload("Deployment", nginx=image) for image in (before, after))
    text = rendered(tmp_path, preview(step("update", "Deployment", old=old, new=new)))
    assert versions_of(text) == [f"NGINX `{before}` → `{after}`: pods roll."]


def test_the_release_of_plus_that_is_built_is_named_before_its_image_exists(tmp_path: Path) -> None:
    old, new = plus_workload(f"registry.example/nginx-plus:R34{DIGESTS[0]}"), plus_workload(UNKNOWN)
    plus = step("update", "Deployment", old=old, new=new)
    image = step("update", "Image", old={"buildArgs": {"RELEASE": "R34"}}, new={"buildArgs": {"RELEASE": "R37.0"}})
    text = rendered(tmp_path, preview(image, plus))
    assert versions_of(text) == ["NGINX `Plus R34` → `Plus R37.0`: pods roll."]
    assert versions_of(rendered(tmp_path, preview(plus))) == ["NGINX `Plus R34` → `known after deployment`: pods roll."]


def test_a_new_build_of_the_same_release_of_plus_is_in_no_list_of_versions(tmp_path: Path) -> None:
    old, new = plus_workload(f"registry.example/nginx-plus:R37.0{DIGESTS[0]}"), plus_workload(UNKNOWN)
    image = step("update", "Image", old={"buildArgs": {"RELEASE": "R37.0"}}, new={"buildArgs": {"RELEASE": "R37.0"}})
    assert "**Versions**" not in rendered(tmp_path, preview(image, step("update", "Deployment", old=old, new=new)))


def test_a_change_without_another_image_has_no_list_of_versions(tmp_path: Path) -> None:
    same = workload("Deployment", nginx="nginx:1.30.7-otel")
    assert "**Versions**" not in rendered(tmp_path, preview(step("update", "Deployment", old=same, new=same)))
    created = preview(step("create", "Deployment", new=same))
    assert "**Versions**" not in rendered(tmp_path, created)
