"""Builds the packages, and the signed repository that apt reads."""

import email.utils
import gzip
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from lab.build.targets import NGINX, NGINX_PLUS

VERSION = "1.28.3-0lab1"
"""The version of the NGINX that is in the packages, not of a release of NGINX Plus."""

SUITE = "bookworm"
_WHAT = "nginx-tracing lab: NGINX 1.28.3, open source, in the place of NGINX Plus"
_MODULE = "nginx-tracing lab: stand-in for the OpenTelemetry module"


def write_repository(folder: Path, release: str, home: Path) -> None:
    """Writes a release's repository: packages, and indexes that are signed with the key in `home`.

    Args:
        folder: the folder that a server serves as `/plus`.
        release: the release's name, such as R34.
        home: GnuPG's folder, which `create_signing_key` made.
    """
    debian = folder / release / "debian"
    pool = debian / "pool"
    pool.mkdir(parents=True)
    programs = _package(pool, "nginx-plus", "libc6, libpcre2-8-0, libssl3, zlib1g, libcrypt1", _WHAT, _nginx_files())
    module = {"usr/lib/nginx/modules/ngx_otel_module.so": NGINX.folder / "ngx_otel_module.so"}
    depends = f"nginx-plus (= {VERSION}), libssl3, libgcc-s1"
    packages = [programs, _package(pool, "nginx-plus-module-otel", depends, _MODULE, module)]
    index = debian / "dists" / SUITE / "nginx-plus" / f"binary-{_architecture()}"
    index.mkdir(parents=True)
    text = "\n".join(_entry(package, debian) for package in packages)
    (index / "Packages").write_text(text)
    (index / "Packages.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    sign(debian / "dists" / SUITE, home)


def sign(suite: Path, home: Path) -> None:
    """Writes and signs a suite's `InRelease`."""
    lines = [
        "Origin: nginx-tracing lab",
        f"Suite: {SUITE}",
        f"Codename: {SUITE}",
        f"Date: {email.utils.formatdate(usegmt=True)}",
        f"Architectures: {_architecture()}",
        "Components: nginx-plus",
        "SHA256:",
    ]
    for file in sorted(suite.rglob("Packages*")):
        content = file.read_bytes()
        lines.append(f" {hashlib.sha256(content).hexdigest()} {len(content)} {file.relative_to(suite)}")
    plain = suite / "Release"
    plain.write_text("\n".join(lines) + "\n")
    (suite / "InRelease").unlink(missing_ok=True)
    _gpg(home, "--clearsign", "--output", str(suite / "InRelease"), str(plain))


def create_signing_key(home: Path) -> str:
    """Makes a key to sign packages with, in a new folder of GnuPG's; returns its fingerprint."""
    home.mkdir(mode=0o700)
    _gpg(home, "--passphrase", "", "--quick-generate-key", "nginx-tracing lab", "rsa3072", "sign", "never")
    listed = _gpg(home, "--list-keys", "--with-colons")
    return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))


def stop_agent(home: Path) -> None:
    """Ends the agent that GnuPG started for a folder."""
    subprocess.run(["gpgconf", f"--homedir={home}", "--kill", "all"], check=False, capture_output=True)


def public_key(home: Path) -> str:
    """Returns the public key of a folder, as it is published."""
    return _gpg(home, "--armor", "--export")


def _gpg(home: Path, *arguments: str) -> str:
    command = ["gpg", "--batch", "--quiet", "--pinentry-mode=loopback", f"--homedir={home}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _nginx_files() -> dict[str, Path]:
    return {
        "usr/sbin/nginx": NGINX_PLUS.folder / "nginx",
        "etc/nginx/mime.types": NGINX.folder / "mime.types",
        "usr/share/nginx/html/index.html": NGINX.folder / "index.html",
    }


def _package(pool: Path, name: str, depends: str, description: str, files: dict[str, Path]) -> Path:
    """Builds a package of files by their paths in it."""
    tree = pool / name
    for path, source in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tree / path)
    if name == "nginx-plus":
        (tree / "etc/nginx/modules").symlink_to("/usr/lib/nginx/modules")
        for folder in ("var/log/nginx", "var/cache/nginx", "usr/lib/nginx/modules"):
            (tree / folder).mkdir(parents=True)
    control = tree / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text(
        f"Package: {name}\nVersion: {VERSION}\nArchitecture: {_architecture()}\n"
        "Maintainer: nginx-tracing lab <lab@example>\n"
        f"Depends: {depends}\nDescription: {description}\n"
    )
    built = pool / f"{name}_{VERSION}_{_architecture()}.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(tree), str(built)]
    subprocess.run(command, check=True, capture_output=True)
    shutil.rmtree(tree)
    return built


def _entry(package: Path, root: Path) -> str:
    control = subprocess.run(["dpkg-deb", "--field", str(package)], check=True, capture_output=True, text=True).stdout
    content = package.read_bytes()
    return (
        f"{control.strip()}\nFilename: {package.relative_to(root)}\nSize: {len(content)}\n"
        f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
    )


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
