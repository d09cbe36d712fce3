"""Provides the corpus of snippets, and nginx.conf as the tests run it on this machine."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.documents.nginx import HEALTH_PORT, HTTP_PORT, nginx_conf
from settings import Settings
from settings.snippets.rules import SNIPPET_RULES

CORPUS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "snippets.yaml").read_text())


def settings_of(case: dict[str, Any], upstream: str = "127.0.0.1:19999", port: int = HTTP_PORT) -> Settings:
    """Returns the settings of a case, with the application's address in them."""
    text = yaml.safe_dump(case["nginx"]).replace("UPSTREAM", upstream).replace("PORT", str(port))
    return Settings.model_validate({"nginx": yaml.safe_load(text)})


def refusals(settings: Settings) -> list[str]:
    """Returns the messages of the rules on snippets."""
    return [broken.error.message for rule in SNIPPET_RULES for broken in rule(settings)]


@dataclass(frozen=True)
class Machine:
    """The folders and ports of this machine that replace those of a pod."""

    folder: Path
    build: Path
    http_port: int
    health_port: int
    receiver: int = 1

    def nginx_conf(self, settings: Settings) -> str:
        """Returns nginx.conf with the places of a pod moved to this machine."""
        text = nginx_conf(settings.nginx, exporter=f"127.0.0.1:{self.receiver}", namespace="tracing")
        here = {
            "modules/ngx_otel": f"{self.build}/ngx_otel",
            "/etc/nginx/mime.types": f"{self.build}/mime.types",
            "fastcgi_params": f"{self.folder}/fastcgi_params",
            "/usr/share/nginx/html": f"{self.folder}/pages",
            "/dev/stdout": f"{self.folder}/access.log",
            "/dev/stderr": f"{self.folder}/error.log",
            "/tmp/": f"{self.folder}/tmp/",  # noqa: S108 - the pod's
            # NGINX cannot write there in a pod, whatever this machine has.
            "/var/cache/nginx/": f"{self.folder}/not-there/nginx/",
        }
        text = re.sub("|".join(map(re.escape, here)), lambda found: here[found[0]], text)
        return re.sub(r"\blisten (\S+)", self._listen, text).replace("interval 500ms", "interval 20ms")

    def _listen(self, written: re.Match[str]) -> str:
        address = re.sub(rf"\b{HTTP_PORT}\b", str(self.http_port), written[1])
        return f"listen {re.sub(rf'{HEALTH_PORT}', str(self.health_port), address)}"

    def lay_out(self) -> None:
        """Makes the files that the image and the pod have."""
        for name in ("tmp", "pages"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "pages" / "index.html").write_text("<html><body>Welcome to nginx!</body></html>\n")
        (self.folder / "pages" / "50x.html").write_text("<html><body>An error occurred.</body></html>\n")
        (self.folder / "fastcgi_params").write_text("fastcgi_param REQUEST_METHOD $request_method;\n")
