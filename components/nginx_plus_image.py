"""The image of NGINX Plus, built from `docker/nginx-plus`."""

import re

import pulumi
from pydantic import SecretStr

from settings import PlusSettings, Settings
from settings.stack import Login

FOLDER = "docker/nginx-plus"
"""From the program's folder, which both the engine and the provider run in."""

_INSTALL_FAILURES = {
    41: "Debian's packages could not be installed: can the builder reach Debian's mirror? A base image with another "
    "mirror is `plus.baseImage`",
    42: "the package repository refused `nginxRepoCrt` and `nginxRepoKey`, new ones of which are at my.f5.com, or "
    "has no `plus.release` of that name for the Debian of `plus.baseImage`",
    43: "the package repository's certificate is not trusted: `plus.packages.caBundle` is for an authority of your own",
    44: "the packages are signed with none of the keys in `plus.packages.fingerprints`",
    45: "the package repository could not be reached: `plus.packages.repository`, `plus.packages.signingKey`",
    47: "`plus.baseImage` has a user or group nginx, or 101, already: take plain Debian",
    46: "`plus.release` has no nginx-plus with nginx-plus-module-otel for the Debian of `plus.baseImage`",
}
"""By the exit status of the Dockerfile's `install.sh`."""

_FAILURES = (
    (r"failed to resolve source metadata|pull access denied|manifest unknown",
     "the base image could not be pulled: `plus.baseImage`, `imageRegistry`, `registryUsername`"),
    (r"\b413\b|entity too large", "the registry of `plus.repository` takes no layer of that size"),
    (r"\b40[13]\b|unauthorized|denied|authentication required|no basic auth", "the registry refused the login: "
     "`registryUsername`, `registryPassword`, and whether that user may push to `plus.repository`"),
    (r"connection refused|no such host|i/o timeout|server misbehaving|no route to host|failed to push",
     "the registry could not be reached: `plus.repository`, `plus.baseImage`, `plus.cache`"),
    (r"builder|buildkit|docker daemon|docker\.sock", "no builder could be used: `plus.builder`, see `docker buildx`"),
)  # fmt: skip
"""By what is said of a build that failed outside `install.sh`; the first that matches."""


class NginxPlusImage(pulumi.ComponentResource):
    """NGINX Plus with its OpenTelemetry module, built and pushed when its release or `plus.rebuild` changes.

    A preview builds nothing and asks no builder or registry. A new certificate or key builds nothing either: what they
    fetch is the same. The image stays in the registry when the stack is destroyed: others may run it.
    """

    reference: pulumi.Output[str]
    """The image, by its tag and digest."""

    def __init__(
        self,
        name: str,
        settings: PlusSettings,
        *,
        base_image: str,
        certificate: SecretStr,
        key: SecretStr,
        login: Login | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Registers the build.

        Args:
            name: the resource's name.
            settings: what can be configured; `repository` is set.
            base_image: the image of Debian, as it is pulled.
            certificate: the client certificate of the package repository.
            key: its key.
            login: who pulls and pushes; none where the builder's own logins do.
            opts: the usual options.
        """
        # Imported here: it is a part of each preview's time, and NGINX, open source, does not need it.
        import pulumi_docker_build as docker_build  # noqa: PLC0415

        super().__init__("nginx-tracing:index:NginxPlusImage", name, None, opts)
        secrets = {"nginx-repo.crt": certificate.get_secret_value(), "nginx-repo.key": key.get_secret_value()}
        if settings.packages.ca_bundle:
            secrets["repository-ca.crt"] = settings.packages.ca_bundle
        cache = settings.cache
        image = docker_build.Image(
            name,
            context=docker_build.BuildContextArgs(location=FOLDER),
            dockerfile=docker_build.DockerfileArgs(location=f"{FOLDER}/Dockerfile"),
            build_args={
                "BASE_IMAGE": base_image,
                "RELEASE": settings.release,
                "REPOSITORY": settings.packages.repository,
                "KEYRING": settings.packages.signing_key,
                "FINGERPRINTS": ",".join(settings.packages.fingerprints),
                "REBUILD": settings.rebuild or "",
            },
            secrets=pulumi.Output.secret(secrets),
            ignore_secrets_in_diff_calculation=["nginx-repo.crt", "nginx-repo.key"],
            tags=[f"{settings.repository}:{settings.release}"],
            platforms=[docker_build.Platform(settings.platform)],
            push=True,
            build_on_preview=False,
            builder=docker_build.BuilderConfigArgs(name=settings.builder) if settings.builder else None,
            cache_from=[docker_build.CacheFromArgs(registry=docker_build.CacheFromRegistryArgs(ref=cache))]
            if cache
            else None,
            cache_to=[
                docker_build.CacheToArgs(registry=docker_build.CacheToRegistryArgs(ref=cache, image_manifest=True))
            ]
            if cache
            else None,
            registries=[
                docker_build.RegistryArgs(
                    address=login.registry,
                    username=login.username,
                    password=pulumi.Output.secret(login.password.get_secret_value()),
                )
            ]
            if login
            else None,
            opts=pulumi.ResourceOptions(
                parent=self,
                retain_on_delete=True,
                hooks=pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook("nginx-plus-image", _explain)]),
            ),
        )
        self.reference = image.ref
        self.register_outputs({"reference": self.reference})


def nginx_plus_image(name: str, settings: Settings) -> NginxPlusImage:
    """The image that a stack's settings ask for.

    Raises:
        ValueError: they have not the repository's certificate and key.
    """
    if settings.nginx_repo_crt is None or settings.nginx_repo_key is None:
        raise ValueError("neither nginxRepoCrt and nginxRepoKey nor plus.image")
    return NginxPlusImage(
        name,
        settings.plus,
        base_image=settings.mirrored(settings.plus.base_image),
        certificate=settings.nginx_repo_crt,
        key=settings.nginx_repo_key,
        login=settings.own_login(),
    )


def explanation(said: str) -> str:
    """What a person should look at after a build failed.

    Args:
        said: what the provider said of it.
    """
    status = re.search(r"exit code: (\d+)", said)
    meant = _INSTALL_FAILURES.get(int(status[1])) if status else None
    if status is None:
        meant = next((words for pattern, words in _FAILURES if re.search(pattern, said, re.IGNORECASE)), None)
    return f"The image of NGINX Plus was not built: {meant or 'see what its build said'}. What runs goes on running."


def _explain(failed: pulumi.ErrorHookArgs) -> bool:
    """Names the configuration's keys beside the provider's own words; never tries again."""
    pulumi.log.error(explanation("\n".join(failed.errors)))
    return False
