"""PURE: derives from a recipe what a machine starts."""

from collections.abc import Mapping

from msgspec.structs import replace

from recipes.quantities import filled
from recipes.schema import ReadinessProbe, Recipe, Resources
from workers.machines import Boot

KEY_VARIABLE = "VLLM_API_KEY"
"""Environment variable with the key that engines and recipes' scripts must enforce. A recipe cannot set it."""


def secrets_of(recipe: Recipe) -> tuple[str, ...]:
    """Names of the variables that the worker's environment must contain for the recipe."""
    return tuple(name for name in recipe.secrets if name != KEY_VARIABLE)


def boot_of(recipe: Recipe, name: str) -> Boot:
    """What a replica of the deployment `name` runs, independent of the machine."""
    engine = recipe.engine
    resources = recipe.resources[0] if recipe.resources else Resources()
    model = engine.model if engine else _probed_model(recipe) or name
    return Boot(
        kind=engine.kind if engine else "script",
        model=model,
        served_names=tuple(dict.fromkeys((model, name))),
        args=dict(engine.args) if engine else {},
        port=recipe.port,
        setup=recipe.setup,
        run=recipe.run,
        envs={name: value for name, value in recipe.envs.items() if name != KEY_VARIABLE},
        secrets=tuple(dict.fromkeys((KEY_VARIABLE, *recipe.secrets))),
        initial_delay=recipe.service.readiness_probe.initial_delay,
        image=resources.image_id,
        disk_gib=resources.disk_size_gib,
        disk_tier=resources.disk_tier,
    )


def probe_of(recipe: Recipe, secrets: Mapping[str, str]) -> ReadinessProbe:
    """The readiness probe, with secrets filled into its headers: `Bearer $AUTH_TOKEN`. Must not be logged."""
    probe = recipe.service.readiness_probe
    values = {name: value.strip() for name, value in secrets.items()}  # a line break is not allowed in a header
    return replace(probe, headers={name: filled(text, values) for name, text in probe.headers.items()})


def _probed_model(recipe: Recipe) -> str | None:
    """The model in the readiness probe's body, or None. A `run` script itself cannot be searched for it."""
    body = recipe.service.readiness_probe.post_data or {}
    model = body.get("model")
    return model if isinstance(model, str) else None
