"""Tests the checks of what people write in `extraConfig`, and how it is merged into nginx.conf."""

import json
from typing import Any

import pytest

from components.documents.nginx import nginx_conf
from settings import Settings
from settings.nginx_syntax import snippet
from settings.nginx_tree import Directive, comments, parse
from settings.snippets.egress import egress_warnings
from settings.snippets.rules import SNIPPET_RULES
from settings.snippets.warnings import snippet_warnings
from tests.snippets import CORPUS, refusals, settings_of
from tests.unit.test_bad_input import refusal, run_config_command


def conf(**nginx: Any) -> str:
    assert refusals(Settings.model_validate({"nginx": nginx})) == []
    return rendered(**nginx)


def rendered(**nginx: Any) -> str:
    settings = Settings.model_validate({"nginx": nginx})
    return nginx_conf(settings.nginx, exporter="otel-collector.tracing.svc:4317", namespace="tracing")


def block(text: str, *names: str) -> list[str]:
    """Returns the directives of a block, as `name argument …`, by the names of the blocks that lead to it."""
    inside = parse(text)
    for name in names:
        inside = next(
            each.inside
            for each in inside
            if f"{each.name} {' '.join(each.arguments)}".startswith(f"{name} " if name in {"http", "server"} else name)
        )
    return [" ".join((each.name, *each.arguments)) for each in inside]


def test_the_buffer_of_our_log_is_the_one_that_snippets_are_compared_with() -> None:
    text = rendered(routes=[{"path": "/", "return": {"status": 200}}])
    assert "access_log /dev/stdout traced buffer=4k flush=100ms" in block(text, "http")
    assert refusals(Settings.model_validate({"nginx": {"extraConfig": {"server": BUFFERED}, "routes": [OTHER]}})) == []


BUFFERED = "access_log /dev/stdout combined buffer=4k flush=100ms;"
OTHER = {"path": "/", "return": {"status": 200}, "traceContext": "ignore"}
PROXIED = {"path": "/", "upstream": "192.0.2.1:80"}
ROUTE = ("http", "server", "location /")


def test_the_corpus_has_at_least_eighty_snippets_none_of_them_twice() -> None:
    assert len({str(case["nginx"]) for case in CORPUS}) == len({case["about"] for case in CORPUS}) == len(CORPUS) >= 80


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case["about"])
def test_a_snippet_is_taken_or_refused_by_its_line_with_the_reason(case: dict[str, Any]) -> None:
    upstream = "127.0.0.1:19999"
    says = [said.replace("UPSTREAM", upstream) for said in case.get("says", [])]
    assert refusals(settings_of(case, upstream)) == says


@pytest.mark.parametrize("case", [case for case in CORPUS if case.get("says")], ids=lambda case: case["about"])
def test_the_command_that_is_offered_fixes_a_snippet_and_keeps_the_rest_of_it(case: dict[str, Any]) -> None:
    nginx = json.loads(json.dumps(case["nginx"]).replace("UPSTREAM", "127.0.0.1:19999"))
    settings = Settings.model_validate({"nginx": nginx})
    for error in [broken.error for rule in SNIPPET_RULES for broken in rule(settings)]:
        values = {"nginx": json.loads(json.dumps(nginx))}
        run_config_command(error.fix, values, [])
        after = refusals(Settings.model_validate(values))
        assert error.message not in after
        if len(case["says"]) > 1:
            assert after, "the other faults of the snippet are still there to be told"


def test_a_snippet_in_a_key_that_is_a_secret_is_not_shown() -> None:
    canary = {"nginx": {"extraConfig": {"server": "proxy_set_header Authorization canary;\nset $canary_b;"}}}
    said = refusal(canary, ["nginx"])
    assert "canary" not in said
    assert "nginx.extraConfig.server" in said


def test_every_directive_and_header_of_ours_can_be_replaced() -> None:
    """A directive of the template that a snippet repeats is there once."""
    routes = [
        PROXIED,
        {"path": "/tls/", "upstream": "https://api.example:443"},
        {"path": "/r", "return": {"status": 200}},
    ]
    before = conf(routes=routes)
    for number, path in enumerate(("/", "/tls/", "/r")):
        ours = block(before, "http", "server", f"location {path}")
        for line in ours:
            name, *arguments = line.split(" ")
            if name in {"return", "otel_trace", "proxy_pass"}:
                continue
            again = f"{name} " + " ".join(f'"{argument}"' for argument in arguments or [""]) + ";"
            changed = [dict(route) for route in routes]
            changed[number]["extraConfig"] = again
            # A variable of ours is not one that a snippet may name.
            after = block(rendered(routes=changed), "http", "server", f"location {path}")
            assert sorted(after) == sorted(ours), line


def test_a_header_of_the_server_is_for_every_proxied_route_unless_the_route_has_its_own() -> None:
    text = conf(
        extraConfig={"server": "proxy_set_header X-Edge a;"},
        routes=[PROXIED, {"path": "/b", "upstream": "192.0.2.1:80", "extraConfig": "proxy_set_header x-edge b;"}],
    )
    assert "proxy_set_header X-Edge a" in block(text, *ROUTE)
    inner = block(text, "http", "server", "location /b")
    assert [line for line in inner if "edge" in line.lower()] == ["proxy_set_header x-edge b"]


def test_a_location_inherits_the_header_of_the_nearest_block_around_it() -> None:
    inner = "location /a/b { proxy_pass http://192.0.2.2; proxy_set_header X-Other c; }"
    nested = f"proxy_set_header X-Edge far; location /a {{ proxy_set_header X-Edge near; {inner} }}"
    text = conf(routes=[PROXIED | {"extraConfig": nested}])
    said = block(text, *ROUTE, "location /a", "location /a/b")
    assert [line for line in said if "X-Edge" in line] == ["proxy_set_header X-Edge near"]


@pytest.mark.parametrize(
    ("http", "exempts"),
    [
        ("otel_trace on;", "otel_trace off"),
        ("auth_basic Staff;", "auth_basic off"),
        ("auth_request /auth;", "auth_request off"),
        ("deny all;", "allow all"),
        ("allow 192.0.2.0/24; deny all;", "allow all"),
        ("limit_req_zone $uri zone=a:1m rate=1r/s; limit_req zone=a;", "limit_req_dry_run on"),
        ("limit_conn_zone $uri zone=a:1m; limit_conn a 1;", "limit_conn_dry_run on"),
        ("mirror /copy;", "mirror off"),
    ],
)
def test_what_holds_for_all_servers_does_not_hold_for_that_of_the_probes(http: str, exempts: str) -> None:
    text = conf(extraConfig={"http": http})
    clients, probes = text.split("# For the probes of Kubernetes")
    assert exempts in block(f"http {{ #{probes}", "http", "server")
    assert exempts not in clients


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("listen 8080;", "listen 8080 default_server"),
        ("listen 8080 default_server;", "listen 8080"),
        ("listen 9090 default_server;", "listen 8080 default_server"),
    ],
)
def test_our_server_answers_for_unknown_hosts_unless_one_of_a_snippet_does(theirs: str, ours: str) -> None:
    text = conf(serverName=["shop.example"], extraConfig={"http": f"server {{ {theirs} server_name a.example; }}"})
    (http,) = [each for each in parse(text) if each.name == "http"]
    listens = [each for server in http.inside for each in server.inside if each.name == "listen"]
    said = [" ".join((each.name, *each.arguments)) for each in listens]
    assert sorted(said) == sorted([theirs.rstrip(";"), ours, "listen 8081"])


def test_a_route_without_a_proxy_inherits_headers_as_nginx_has_it() -> None:
    text = conf(extraConfig={"server": "proxy_set_header X-Edge a;"}, routes=[{"path": "/", "root": "/srv"}])
    assert not [line for line in block(text, *ROUTE) if line.startswith("proxy_set_header")]


def test_the_route_s_own_key_goes_before_a_snippet_of_the_server() -> None:
    route = {"path": "/", "root": "/srv", "sampling": {"ratio": 1, "parentBased": False}, "traceContext": "inject"}
    text = conf(extraConfig={"server": "otel_trace off; otel_trace_context ignore; root /other;"}, routes=[route])
    said = [line for line in block(text, *ROUTE) if not line.startswith("access_log")]
    assert said[:3] == ["otel_trace on", "otel_trace_context inject", "root /srv"]


def test_a_snippet_keeps_its_comments_and_the_lines_within_its_quotes() -> None:
    server = "# why\nlocation /x {\n    return 200 'a\n  b';\n}"
    text = conf(extraConfig={"server": server})
    assert "        # why\n        location /x {\n            return 200 'a\n  b';\n        }\n" in text


def test_what_a_snippet_replaces_goes_with_the_comment_that_is_about_it() -> None:
    text = conf(extraConfig={"http": "absolute_redirect on;"})
    assert "Clients come by another port" not in text
    assert text.count("absolute_redirect") == 1


def test_the_program_s_own_marks_are_gone_from_the_document() -> None:
    assert "#:" not in conf(extraConfig={"http": "gzip on;"}, routes=[PROXIED])


def test_a_module_that_the_image_has_as_a_file_is_loaded_when_a_snippet_needs_it() -> None:
    settings = Settings.model_validate(
        {"nginx": {"image": "registry.example/nginx:1", "extraConfig": {"http": "js_import a from a.js;"}}}
    )
    assert refusals(settings) == []
    text = nginx_conf(settings.nginx, exporter="a:1", namespace="tracing")
    assert "\nload_module modules/ngx_http_js_module.so;\n" in text


def test_directives_of_an_image_that_is_not_known_are_taken() -> None:
    nginx = {"image": "registry.example/nginx:1", "extraConfig": {"http": "brotli on; add_header A $brotli_ratio;"}}
    assert refusals(Settings.model_validate({"nginx": nginx})) == []


def test_a_port_that_no_service_has_is_warned_of() -> None:
    def warnings(server: str) -> list[str]:
        return list(snippet_warnings(Settings.model_validate({"nginx": {"extraConfig": {"server": server}}})))

    assert warnings("listen 127.0.0.1:9113;\nlisten [::]:8080;\nlisten unix:/tmp/a;") == []
    assert warnings("gzip on;\nlisten 9113;") == [
        "nginx.extraConfig.server: `listen` in line 2 has a port that neither NGINX's Service nor the network "
        "policies open: clients reach 8080 alone"
    ]


def warned(**nginx: Any) -> list[str]:
    return [said.split(": ", 1)[1] for said in snippet_warnings(Settings.model_validate({"nginx": nginx}))]


def test_a_path_that_the_server_changes_is_warned_of_since_its_requests_make_no_span() -> None:
    server = (
        "rewrite ^/a /b permanent;\nrewrite ^/c http://d.example/;\nrewrite ^/e /f last;\nif ($arg_g) { rewrite ^ /h; }"
    )
    said = warned(extraConfig={"server": server})
    assert [line.split(":")[0] for line in said] == ["`rewrite` in line 3", "`rewrite` in line 4"]
    assert "make no span" in said[0]
    assert warned(routes=[PROXIED | {"extraConfig": "rewrite ^/e /f last;"}]) == []


def test_plain_text_to_a_port_of_https_is_warned_of() -> None:
    text = "location /a { proxy_pass http://a.example:443/b; }\nlocation /c { grpc_pass grpc://192.0.2.1:8443; }"
    said = warned(extraConfig={"server": text})
    assert said == [
        f"`{name}` in line {line} speaks plain text to the port {port}, on which servers speak HTTPS"
        for name, line, port in (("proxy_pass", 1, 443), ("grpc_pass", 2, 8443))
    ]
    text = "location /a { proxy_pass https://a.example:443; }\nlocation /c { proxy_pass http://a.example:80/x:443; }"
    assert warned(extraConfig={"server": text}) == []


def test_a_name_that_nothing_looks_up_is_warned_of() -> None:
    route = {"path": "/", "extraConfig": "set $to web.shop.svc.cluster.local;\nproxy_pass http://$to:8080;"}
    (said,) = warned(routes=[route])
    assert said.startswith("`proxy_pass` in line 2 has a variable, and no `resolver` is there")
    assert warned(routes=[route], extraConfig={"http": "resolver 10.96.0.10;"}) == []
    assert warned(routes=[route], extraConfig={"http": "upstream a { server 192.0.2.1; }"}) == []
    assert warned(routes=[PROXIED | {"extraConfig": "proxy_pass $scheme://192.0.2.1$request_uri;"}]) == []


def test_what_a_snippet_leads_to_past_the_network_policies_is_warned_of() -> None:
    def told(text: str, **values: Any) -> list[str]:
        nginx = {"routes": [{"path": "/", "upstream": "a.shop.svc:80"}], "extraConfig": {"server": text}}
        nginx |= values.pop("nginx", {})
        return list(egress_warnings(Settings.model_validate({"nginx": nginx} | values)))

    pass_ = "location /x {{ proxy_pass http://{}; }}".format
    (said,) = told(pass_("api.other.svc.cluster.local:8080/y"))
    assert said.endswith(
        "`proxy_pass` in line 1 leads to api.other.svc.cluster.local:8080, where the network policies do not let NGINX "
        "go: pulumi config set --path 'nginx.egress[0]' api.other.svc.cluster.local:8080"
    )
    assert len(told(pass_("192.0.2.7"))) == len(told(pass_("api.example.com:8080"))) == 1
    for let_out in ("b.shop.svc:9", "127.0.0.1:9", "$host:80", "unix:/tmp/a", "localhost:9"):
        assert told(pass_(let_out)) == [], let_out
    assert told(pass_("192.0.2.7:80"), nginx={"egress": ["192.0.2.7:80"]}) == []
    assert told(pass_("c.example.com:80"), nginx={"egress": ["b.example.com:80"]}) == []
    assert told(pass_("192.0.2.7"), networkPolicies=False) == []
    pool = {"extraConfig": {"http": "upstream p { server 192.0.2.8:81; }", "server": pass_("p")}}
    assert ["192.0.2.8:81" in said for said in told("", nginx=pool)] == [True]
    assert "by UDP" in told("access_log syslog:server=192.0.2.9:514 combined;")[0]


def test_a_location_in_a_route_that_answers_nothing_is_warned_of() -> None:
    inner = r"location ~ \.json$ { add_header X-A b; }"
    (said,) = warned(routes=[PROXIED | {"extraConfig": inner}])
    assert said.startswith("`location` in line 1 has no answer of its own")
    assert warned(routes=[{"path": "/", "root": "/srv", "extraConfig": inner}]) == []
    assert warned(routes=[PROXIED | {"extraConfig": "location /a { location /a/b { return 204; } }"}]) == []


@pytest.mark.parametrize(
    ("text", "leads_to"),
    [
        ("try_files $uri /quiet;", "/quiet"),
        ("try_files $uri /quiet?a=b;", "/quiet"),
        ("rewrite ^/app/old /hidden/new last;", "/hidden/new"),
        ("rewrite ^/app/old /hidden/new;", "/hidden/new"),
        ("rewrite ^/app/old /hidden/new break;", None),
        ("rewrite ^/app/(.*) /hidden/$1 last;", None),
        ("try_files $uri /quiet/more;", None),
        ("try_files $uri =404;", None),
    ],
)
def test_a_path_that_leads_to_a_route_with_another_traced_is_warned_of(text: str, leads_to: str | None) -> None:
    routes: list[dict[str, Any]] = [
        {"path": "/", "root": "/srv"},
        {"path": "/app/", "root": "/srv", "extraConfig": text},
        {"path": "/quiet", "match": "exact", "return": {"status": 200}, "traced": False},
        {"path": "/hidden/", "return": {"status": 200}, "traced": False},
    ]
    said = warned(routes=routes)
    told = f"leads to {leads_to}, whose route has another `traced`: these requests make spans"
    assert [told in line for line in said] == ([True] if leads_to else [])
    for route in routes:
        route["traced"] = not route.get("traced", True)
    assert ["these requests make no span" in line for line in warned(routes=routes)] == ([True] if leads_to else [])


def test_directives_that_are_not_known_are_warned_of_where_the_image_is_not_known() -> None:
    nginx = {"image": "registry.example/nginx:1", "extraConfig": {"http": "gzip on;\nbrotli on;"}}
    assert list(snippet_warnings(Settings.model_validate({"nginx": nginx}))) == [
        "nginx.extraConfig.http: `brotli` in line 2 is not known to this program; if the image's NGINX does not know "
        "it either, its pods do not start"
    ]


@pytest.mark.parametrize("text", ["add_header A b\\\nc;", "set $a 'x\n y';", "set $a b\x0cc;"])
def test_no_word_of_a_snippet_changes_when_it_is_moved_to_the_right(text: str) -> None:
    (before,) = parse(text)
    assert " ".join((before.name, *before.arguments)) in block(conf(extraConfig={"server": text}), "http", "server")


@pytest.mark.parametrize("text", ["a;;", "{ }", 'a "b"c;', "a 'b''c';", ";"])
def test_what_nginx_cannot_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must have a "):
        snippet(text)


def test_a_document_is_read_into_a_tree_that_knows_its_places() -> None:
    text = "gzip on; # {\nmap $a \"$b\" {\n  default 'x;';\n}\n"
    gzip, table_of_a = parse(text)
    assert gzip == Directive("gzip", ("on",), 0, 8, 1)
    assert text[table_of_a.start : table_of_a.end].startswith("map $a")
    assert [each.arguments for each in table_of_a.inside] == [("x;",)]
    assert [(each.text, each.start) for each in comments(text)] == [("# {", 9)]
