"""Two versions of an object, line by line."""

import pytest

from tools.pull_request.differences import Object, difference, showable


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": "1"}, ["- a: 1", '+ a: "1"']),
        ({"a": True}, {}, ["- a: true"]),
        ({}, {"a": {"b": [], "c/d": None}}, ["+ a.b: []", '+ a["c/d"]: null']),
        ({"a": "x"}, {"a": {"b": 1}}, ['- a: "x"', "+ a.b: 1"]),
        (
            {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]},
            {"containers": [{"name": "b", "image": "2"}, {"name": "c", "image": "1"}]},
            [
                '- containers[0].image: "1"',
                '- containers[0].name: "a"',
                '- containers[0].image: "1"',
                '+ containers[0].image: "2"',
                '+ containers[1].image: "1"',
                '+ containers[1].name: "c"',
            ],
        ),
        (
            {"ports": [{"port": 1}, {"port": 3}]},
            {"ports": [{"port": 1}, {"port": 2}, {"port": 3}]},
            ["+ ports[1].port: 2"],
        ),
        ({"args": ["a", "b"]}, {"args": ["a", "c", "d"]}, ['- args[1]: "b"', '+ args[1]: "c"', '+ args[2]: "d"']),
        (
            {"conf": "a\nb\n"},
            {"conf": "a\nc"},
            ["@@ -1,2 +1,3 @@ conf", " a", "-b", "+c", "+\\ No newline at end of file"],
        ),
        ({"conf": "a\n"}, {"conf": "a\r\n"}, ["@@ -1 +1 @@ conf", "-a", "+a␍"]),
        ({"conf": "a\nb\n"}, {}, ["@@ -1,2 +0,0 @@ conf", "-a", "-b"]),
        (
            {"metadata": {"annotations": {"pulumi.com/autonamed": "true"}}, "__fieldManager": "a"},
            {"metadata": {"annotations": {"pulumi.com/skipAwait": "true"}}, "__fieldManager": "b"},
            ['+ metadata.annotations["pulumi.com/skipAwait"]: "true"'],
        ),
    ],
)
def test_what_differs_is_said_at_its_path(old: Object, new: Object, lines: list[str]) -> None:
    assert difference(*showable(old, new)).splitlines() == lines


def test_what_the_engine_reports_is_said_once() -> None:
    old: Object = {"spec": {"ports": [{"port": 1}]}}
    new: Object = {"spec": {"ports": [{"port": 2}]}}
    reported: Object = {"spec.ports[0].port": {}, "spec.portsOfOthers": {}}
    assert difference(old, new, reported).splitlines() == [
        "- spec.ports[0].port: 1",
        "+ spec.ports[0].port: 2",
        "! spec.portsOfOthers: changes; its value is secret, or not among the inputs",
    ]
