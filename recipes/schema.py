"""PURE: what a recipe says, as frozen types that encode to JSON: SkyPilot's service YAML, and our short form."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct

Scalar = str | int | float | bool | None
"""What a flag of an engine may be: null is a flag without a value."""


class RecipeError(Exception):
    """A recipe that cannot be read, told in one sentence: `mixtral.yaml:12: resources.ports: …`."""

    def __init__(self, sentence: str, *, file: str = "recipe", line: int = 0, field: str = "") -> None:
        self.file = file
        self.line = line
        """Counted from 1; 0 where no line is to blame."""
        self.field = field
        """Dotted path of the field, or empty for the file as a whole."""
        self.sentence = sentence
        place = f"{file}:{line}" if line else file
        super().__init__(": ".join(part for part in (place, field, sentence) if part))


class Accelerator(Struct, frozen=True, kw_only=True):
    """A GPU and how many of it one machine has."""

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
    """One kind of machine that would do."""

    accelerators: tuple[Accelerator, ...] = ()
    """Alternatives: one of them is needed. Empty: a machine without a GPU."""
    cloud: str | None = None
    """`aws`, `gcp`, `local` or another cloud's name in lower case; None is any."""
    region: str | None = None
    """May hold `*` for any characters: `us-*`."""
    zone: str | None = None
    instance_type: str | None = None
    cpus: Minimum | None = None
    memory: Minimum | None = None
    """In GiB."""
    memory_per_cpu: bool = False
    """Memory was asked for as `4x`: its amount is GiB per vCPU."""
    disk_size_gib: int | None = None
    disk_tier: str | None = None
    network_tier: str | None = None
    image_id: str | None = None
    use_spot: bool | None = None
    """None where the recipe doesn't say: whoever launches chooses."""
    max_hourly_cost: Decimal | None = None
    """USD per hour and machine."""
    ports: tuple[int, ...] = ()
    labels: dict[str, str] = {}


class ReadinessProbe(Struct, frozen=True, kw_only=True):
    """How to ask a replica whether it is ready. The defaults are SkyPilot's."""

    path: str = "/"
    post_data: dict[str, Any] | None = None
    """The JSON body of a POST; None is a GET."""
    headers: dict[str, str] = {}
    timeout: timedelta = timedelta(seconds=15)
    initial_delay: timedelta = timedelta(seconds=1200)
    """For so long after the machine's start a failing probe is no reason to give the replica up."""


class ReplicaPolicy(Struct, frozen=True, kw_only=True):
    """How many replicas, and what moves that number. The defaults are SkyPilot's."""

    min_replicas: int = 1
    max_replicas: int | None = None
    """None: the number doesn't move."""
    target_qps_per_replica: float | None = None
    upscale_delay: timedelta = timedelta(seconds=300)
    downscale_delay: timedelta = timedelta(seconds=1200)
    num_overprovision: int = 0
    dynamic_ondemand_fallback: bool = False
    base_ondemand_fallback_replicas: int = 0

    @property
    def wakes(self) -> bool:
        """Whether a request brings a deployment without replicas back."""
        return self.min_replicas == 0


class Tls(Struct, frozen=True, kw_only=True):
    """Paths of a certificate and its key, as the recipe names them."""

    keyfile: str
    certfile: str


class Service(Struct, frozen=True, kw_only=True):
    """How the replicas are served."""

    readiness_probe: ReadinessProbe = ReadinessProbe()
    replica_policy: ReplicaPolicy = ReplicaPolicy()
    port: int | None = None
    """The one of the machine's ports that serves; None: the machine's first."""
    load_balancing_policy: str | None = None
    tls: Tls | None = None


class Engine(Struct, frozen=True, kw_only=True):
    """Our short form, instead of `setup` and `run`: which engine serves which model."""

    kind: Literal["vllm", "llamacpp", "scripted"]
    model: str
    """The name on Hugging Face, or a path on the machine."""
    args: dict[str, Scalar] = {}
    """The engine's flags, without dashes; null is a flag without a value."""


class Note(Struct, frozen=True, kw_only=True):
    """A field that SkyPilot has and we do not serve."""

    field: str
    line: int
    meaning: str
    """One sentence: what follows from our not serving it."""


DEFAULT_PORT = 8000


class Recipe(Struct, frozen=True, kw_only=True):
    """One launchable model, whole: it is stored with the request, so that a later edit of the file changes nothing."""

    name: str
    resources: tuple[Resources, ...] = (Resources(),)
    """Alternatives, each complete: `any_of` and `ordered` stand expanded, with the outer fields merged in."""
    ordered: bool = False
    """The alternatives are in the order of preference, and price decides within each only."""
    service: Service = Service()
    envs: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    """Names of environment variables that are filled in from the worker's environment at the launch."""
    missing_envs: tuple[str, ...] = ()
    """Names that the recipe declares as null: whoever launches must give their values."""
    setup: str = ""
    run: str = ""
    engine: Engine | None = None
    notes: tuple[Note, ...] = ()

    @property
    def port(self) -> int:
        """Where a replica listens on its machine."""
        if self.service.port is not None:
            return self.service.port
        return next((ports[0] for r in self.resources if (ports := r.ports)), DEFAULT_PORT)

    @property
    def replicas(self) -> int:
        """How many are wanted at the launch: at least one, so that whoever launches sees that it works."""
        return max(1, self.service.replica_policy.min_replicas)
