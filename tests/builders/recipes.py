"""Builders of recipes."""

from typing import Any

from msgspec.structs import replace

from recipes.schema import Accelerator, Engine, Recipe, ReplicaPolicy, Resources, Service

SCRIPTED = Recipe(name="scripted", engine=Engine(kind="scripted", model="scripted"), resources=(Resources(),))
SMOLLM2 = Recipe(name="smollm2-135m", engine=Engine(kind="llamacpp", model="HuggingFaceTB/SmolLM2-135M-Instruct"))
MIXTRAL = Recipe(
    name="mixtral-8x7b",
    resources=(
        Resources(
            accelerators=(
                Accelerator(name="A100", count=4),
                Accelerator(name="A100", count=8),
                Accelerator(name="A100-80GB", count=2),
                Accelerator(name="A100-80GB", count=4),
                Accelerator(name="A100-80GB", count=8),
            )
        ),
    ),
    engine=Engine(kind="vllm", model="mistralai/Mixtral-8x7B-Instruct-v0.1"),
)


def scaled_by(recipe: Recipe = SCRIPTED, /, **policy: Any) -> Recipe:
    """A recipe with a replica policy; `policy` are fields of ReplicaPolicy."""
    return replace(recipe, service=Service(replica_policy=ReplicaPolicy(**policy)))
