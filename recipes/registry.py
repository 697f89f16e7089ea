"""PURE: the login to the registry of a recipe's container image."""

from collections.abc import Collection, Iterable

from recipes.schema import Note, Resources
from recipes.unserved import note
from recipes.value import Value

USERNAME, PASSWORD, SERVER = (f"SKYPILOT_DOCKER_{name}" for name in ("USERNAME", "PASSWORD", "SERVER"))
LOGIN = (USERNAME, PASSWORD, SERVER)

OPEN = frozenset((
    "docker.io", "index.docker.io", "registry-1.docker.io", "ghcr.io", "quay.io", "nvcr.io", "public.ecr.aws",
    "mcr.microsoft.com", "registry.k8s.io",
))  # fmt: skip
"""Registries from which most images are pulled without a login."""


def registry_of(image: str) -> str:
    """The host in `docker:HOST/PATH:TAG`, in lower case; empty for Docker Hub's short names and for machine images."""
    if not image.startswith("docker:"):
        return ""
    first, slash, _ = image.removeprefix("docker:").partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return first.lower() if is_host else ""


def login_notes(alternatives: Iterable[Resources], section: Value, variables: Collection[str]) -> list[Note]:
    """A note for each image whose registry may want a login that the recipe's envs and secrets do not give."""
    lacking = [name for name in LOGIN if name not in variables]
    hosts = {registry_of(resources.image_id or "") for resources in alternatives} - {""}
    partly = 0 < len(lacking) < len(LOGIN)
    shown = sorted(host for host in hosts if lacking and (partly or host not in OPEN))
    fields = section.mapping()
    return [note(fields.get("image_id", section), _meaning(host, lacking, partly=partly)) for host in shown]


def _meaning(host: str, lacking: list[str], *, partly: bool) -> str:
    if partly:
        return f"the login to {host} lacks {' and '.join(lacking)}, so the image is pulled without a login"
    return (
        f"the image is pulled from {host} without a login; if that registry wants one, set {USERNAME} and {SERVER} "
        f"under envs, and list {PASSWORD} under secrets"
    )
