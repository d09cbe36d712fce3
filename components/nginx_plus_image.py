"""The image of NGINX Plus, which Pulumi builds from `docker/nginx-plus`."""

import re

import pulumi
from pydantic import SecretStr

from settings import PlusSettings, Settings
from settings.registries import Login

FOLDER = "docker/nginx-plus"
"""The folder of the Dockerfile, from the program's folder, in which both the engine and the provider run."""

_INSTALL_FAILURES = {
    41: "apt could not install Debian's packages: can the builder reach Debian's mirror? `plus.baseImage` can name a "
    "base image with another mirror",
    42: "the package repository refused `nginxRepoCrt` and `nginxRepoKey` (my.f5.com has new ones), or has no "
    "`plus.release` of that name for the Debian of `plus.baseImage`",
    43: "the builder does not trust the package repository's certificate: `plus.packages.caBundle` is for an authority "
    "of your own",
    44: "the packages are signed with none of the keys in `plus.packages.fingerprints`",
    45: "the builder could not reach the package repository: `plus.packages.repository`, `plus.packages.signingKey`",
    46: "`plus.release` has no nginx-plus with nginx-plus-module-otel for the Debian of `plus.baseImage`",
    47: "`plus.baseImage` already has a user or group nginx, or 101: use plain Debian",
}
"""The causes of a failed build, by the exit code of the Dockerfile's `install.sh`."""

_FAILURES = (
    (r"failed to resolve source metadata|pull access denied|manifest unknown",
     "the builder could not pull the base image: `plus.baseImage`, `imageRegistry`, `registryUsername`"),
    (r"\b413\b|entity too large", "the registry of `plus.repository` takes no layer of that size"),
    (r"\b40[13]\b|unauthorized|denied|authentication required|no basic auth", "the registry refused the login: "
     "`registryUsername`, `registryPassword`, and whether that user may push to `plus.repository`"),
    (r"connection refused|no such host|i/o timeout|server misbehaving|no route to host|failed to push",
     "the builder could not reach the registry: `plus.repository`, `plus.baseImage`, `plus.cache`"),
    (r"builder|buildkit|docker daemon|docker\.sock", "there is no usable builder: `plus.builder`, see `docker buildx`"),
)  # fmt: skip
"""The causes of a build that failed outside `install.sh`, by patterns of the provider's error. The first match wins."""


class NginxPlusImage(pulumi.ComponentResource):
    """NGINX Plus with its OpenTelemetry module. Pulumi builds and pushes it when the release or `plus.rebuild` changes.

    A preview builds nothing and asks no builder or registry. A new certificate or key builds nothing either, because
    they fetch the same packages. `pulumi destroy` leaves the image in the registry, because others may run it.
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
            settings: NGINX Plus' settings, with a `repository`.
            base_image: the reference by which the builder pulls Debian.
            certificate: the client certificate of the package repository.
            key: its key.
            login: the user who pulls and pushes; none to use the builder's own logins.
            opts: the usual options.
        """
        # Imported here: the import adds to each preview's time, and open source NGINX does not need it.
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
                "RELEASE": settings.chosen_release,
                "REPOSITORY": settings.packages.repository,
                "KEYRING": settings.packages.signing_key,
                "FINGERPRINTS": ",".join(settings.packages.fingerprints),
                "REBUILD": settings.rebuild or "",
            },
            secrets=pulumi.Output.secret(secrets),
            ignore_secrets_in_diff_calculation=["nginx-repo.crt", "nginx-repo.key"],
            tags=[f"{settings.repository}:{settings.chosen_release}"],
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
    """Registers the build of the image that a stack's settings ask for.

    Raises:
        ValueError: the settings lack the repository's certificate or key.
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
    """Returns the cause of a failed build, and the keys of the configuration to look at.

    Args:
        said: the provider's error.
    """
    status = re.search(r"exit code: (\d+)", said)
    meant = _INSTALL_FAILURES.get(int(status[1])) if status else None
    if status is None:
        meant = next((words for pattern, words in _FAILURES if re.search(pattern, said, re.IGNORECASE)), None)
    return f"Pulumi did not build the image of NGINX Plus: {meant or 'see what its build said'}. Running pods go on."


def _explain(failed: pulumi.ErrorHookArgs) -> bool:
    """Names the configuration's keys beside the provider's own words. It never lets the provider try again."""
    pulumi.log.error(explanation("\n".join(failed.errors)))
    return False
