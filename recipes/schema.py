"""PURE: a recipe as frozen types that encode to JSON: SkyPilot's service YAML, and the short form."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

Scalar = str | int | float | bool | None
"""Value of an engine's flag. None is a flag without a value."""


class RecipeError(Exception):
    """A recipe that is not valid. The message is one sentence: `mixtral.yaml:12: resources.ports: …`."""

    def __init__(self, sentence: str, *, file: str = "recipe", line: int = 0, field: str = "") -> None:
        self.file = file
        self.line = line
        """Counted from 1; 0 if the mistake has no line."""
        self.field = field
        """Dotted path of the field; empty for the file as a whole."""
        self.sentence = sentence
        place = f"{file}:{line}" if line else file
        super().__init__(": ".join(part for part in (place, field, sentence) if part))


class Accelerator(Struct, frozen=True, kw_only=True):
    """A GPU model, and its number in one machine."""

    name: str
    """The canonical name: `A100-80GB`, `A10G`."""
    count: int

    def __str__(self) -> str:
        return f"{self.name}:{self.count}"


class Minimum(Struct, frozen=True, kw_only=True):
    """An amount of vCPUs or of memory in GiB; `8+` is at least 8, `8` is exactly 8."""

    amount: float
    at_least: bool = False

    def holds(self, have: float) -> bool:
        return have >= self.amount if self.at_least else have == self.amount

    def __str__(self) -> str:
        return f"{self.amount:g}{'+' if self.at_least else ''}"


class Resources(Struct, frozen=True, kw_only=True):
    """One kind of machine that the recipe accepts."""

    accelerators: tuple[Accelerator, ...] = ()
    """Alternatives, of which a machine has one. Empty: a machine without a GPU."""
    cloud: str | None = None
    """`aws`, `gcp`, `local` or another cloud's name in lower case; None: any cloud."""
    region: str | None = None
    """May contain `*` for any characters: `us-*`."""
    zone: str | None = None
    instance_type: str | None = None
    cpus: Minimum | None = None
    memory: Minimum | None = None
    """In GiB."""
    memory_per_cpu: bool = False
    """`memory` is in GiB per vCPU (`4x`)."""
    disk_size_gib: int | None = None
    disk_tier: str | None = None
    network_tier: str | None = None
    image_id: str | None = None
    use_spot: bool | None = None
    """None if the recipe leaves the choice to the launcher."""
    max_hourly_cost: Decimal | None = None
    """USD per hour and machine."""
    ports: tuple[int, ...] = ()
    labels: dict[str, str] = {}


class ReadinessProbe(Struct, frozen=True, kw_only=True):
    """The HTTP request that tests whether a replica is ready. The defaults are SkyPilot's."""

    path: str = "/"
    post_data: dict[str, Any] | None = None
    """The JSON body of a POST; None: a GET."""
    headers: dict[str, str] = {}
    timeout: timedelta = timedelta(seconds=15)
    initial_delay: timedelta = timedelta(seconds=1200)
    """Time after the engine's start in which a failing probe does not fail the replica."""


class ReplicaPolicy(Struct, frozen=True, kw_only=True):
    """The number of replicas, and what changes it. The defaults are SkyPilot's."""

    min_replicas: int = 1
    max_replicas: int | None = None
    """None: no autoscaling above `min_replicas`."""
    target_qps_per_replica: float | None = None
    upscale_delay: timedelta = timedelta(seconds=300)
    downscale_delay: timedelta = timedelta(seconds=1200)
    num_overprovision: int = 0
    dynamic_ondemand_fallback: bool = False
    base_ondemand_fallback_replicas: int = 0

    @property
    def wakes(self) -> bool:
        """Whether a request to a deployment without replicas starts one."""
        return self.min_replicas == 0


class Tls(Struct, frozen=True, kw_only=True):
    """Paths of a certificate and its key, as the recipe gives them."""

    keyfile: str
    certfile: str


class Service(Struct, frozen=True, kw_only=True):
    """How replicas are probed, counted and balanced."""

    readiness_probe: ReadinessProbe = ReadinessProbe()
    replica_policy: ReplicaPolicy = ReplicaPolicy()
    port: int | None = None
    """The port that the engine serves on; None: the first of `resources.ports`."""
    load_balancing_policy: str | None = None
    tls: Tls | None = None


class Engine(Struct, frozen=True, kw_only=True):
    """The short form, in place of `setup` and `run`: which engine serves which model."""

    kind: Literal["vllm", "llamacpp", "scripted"]
    model: str
    """The name on Hugging Face, or a path on the machine."""
    args: dict[str, Scalar] = {}
    """The engine's flags, without leading dashes."""


class RecipeClocks(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When deployments of the recipe end or pause without a person, if the launch does not say so."""

    lasts: timedelta | None = None
    """Time from the launch to the end."""
    stop_after_idle: timedelta | None = None
    """Time without a request after which a deployment ends."""
    hours: str = ""
    """The hours outside which it pauses at 0 replicas, as `recipes.hours` writes them."""


class Note(Struct, frozen=True, kw_only=True):
    """A field of SkyPilot's format that is not supported, or is supported differently."""

    field: str
    line: int
    meaning: str
    """One sentence: the consequence for the deployment."""


DEFAULT_PORT = 8000


class Recipe(Struct, frozen=True, kw_only=True):
    """One launchable model, complete. The log stores it, so a later edit of the file does not change a deployment."""

    name: str
    resources: tuple[Resources, ...] = (Resources(),)
    """Alternatives. `any_of` and `ordered` are expanded, and each alternative has the outer fields merged in."""
    ordered: bool = False
    """The alternatives are in order of preference. Price decides only within an alternative."""
    service: Service = Service()
    envs: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    """Names of variables that the worker fills in from its environment at the launch."""
    missing_envs: tuple[str, ...] = ()
    """Names that the recipe declares without a value: the launcher must give one."""
    setup: str = ""
    run: str = ""
    engine: Engine | None = None
    clocks: RecipeClocks | UnsetType = UNSET
    notes: tuple[Note, ...] = ()

    @property
    def port(self) -> int:
        """The port that a replica listens on."""
        if self.service.port is not None:
            return self.service.port
        return next((ports[0] for r in self.resources if (ports := r.ports)), DEFAULT_PORT)

    @property
    def replicas(self) -> int:
        """Number wanted at the launch. It is at least one, so that the launch tests the recipe."""
        return max(1, self.service.replica_policy.min_replicas)
