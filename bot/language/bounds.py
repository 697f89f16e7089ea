"""PURE: how many replicas a recipe lets a deployment have."""

from bot.language.command import REPLICAS_MOST
from bot.views.amounts import count
from bot.views.escape import escape
from recipes.schema import Recipe, ReplicaPolicy
from workers.decision.autoscale import moves

POLICY = "`service.replica_policy`"


def bounds(recipe: Recipe) -> tuple[int, int]:
    """The least and the most that a person may ask for. By hand all may end, unless the load would bring them back."""
    policy = recipe.service.replica_policy
    most = REPLICAS_MOST if policy.max_replicas is None else min(policy.max_replicas, REPLICAS_MOST)
    return (policy.min_replicas if moves(policy) else 0), most


def nearest(recipe: Recipe, replicas: int) -> int:
    """The number that comes nearest of those that the recipe takes."""
    least, most = bounds(recipe)
    return min(max(replicas, least), most)


def out_of_bounds(recipe: Recipe, replicas: int) -> str | None:
    """Why a recipe does not take this number, with the field that says so and the mend; None: it does."""
    least, most = bounds(recipe)
    name = escape(recipe.name)
    if replicas > most:
        return (
            f"The recipe {name} allows at most {count(most, 'replica')} (`max_replicas` in {POLICY}). "
            f"Ask for {most} or fewer; or raise it in the recipe, and launch again."
        )
    if replicas < least:
        return (
            f"The recipe {name} has its load decide, with at least {count(least, 'replica')} (`min_replicas` in "
            f"{POLICY}): {replicas} would be undone at once. Ask for {least} or more; or lower it in the recipe, and "
            "launch again."
        )
    return None


def follows_load(policy: ReplicaPolicy) -> bool:
    """Whether the rate of requests moves the number of replicas."""
    return policy.target_qps_per_replica is not None and (policy.max_replicas or 0) > policy.min_replicas
