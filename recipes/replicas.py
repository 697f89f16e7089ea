"""PURE: the number of replicas that a recipe's replica policy allows, and what changes it."""

from recipes.schema import Recipe, ReplicaPolicy

MAX_REPLICAS = 50
"""Maximum number of replicas of one deployment. It limits the cost of a mistyped number."""


def bounds(recipe: Recipe) -> tuple[int, int]:
    """Minimum and maximum that a person may set. The minimum is 0 unless the policy itself changes the number."""
    policy = recipe.service.replica_policy
    maximum = MAX_REPLICAS if policy.max_replicas is None else min(policy.max_replicas, MAX_REPLICAS)
    return (policy.min_replicas if moves(policy) else 0), maximum


def nearest(recipe: Recipe, replicas: int) -> int:
    """`replicas`, limited to the recipe's bounds."""
    minimum, maximum = bounds(recipe)
    return min(max(replicas, minimum), maximum)


def moves(policy: ReplicaPolicy) -> bool:
    """Whether the policy changes the number of replicas without a person's command."""
    maximum = policy.max_replicas
    return policy.wakes if maximum is None else policy.min_replicas < maximum


def follows_load(policy: ReplicaPolicy) -> bool:
    """Whether the request rate changes the number of replicas."""
    return policy.target_qps_per_replica is not None and (policy.max_replicas or 0) > policy.min_replicas
