"""PURE: how many replicas a recipe's replica policy allows, and what changes their number."""

from recipes.schema import Recipe, ReplicaPolicy

REPLICAS_MOST = 50
"""Maximum number of replicas of one deployment: a typing slip must not rent a data centre."""


def bounds(recipe: Recipe) -> tuple[int, int]:
    """The least and the most that a person may ask for. By hand all may end, unless the load would bring them back."""
    policy = recipe.service.replica_policy
    most = REPLICAS_MOST if policy.max_replicas is None else min(policy.max_replicas, REPLICAS_MOST)
    return (policy.min_replicas if moves(policy) else 0), most


def nearest(recipe: Recipe, replicas: int) -> int:
    """The number that comes nearest of those that the recipe takes."""
    least, most = bounds(recipe)
    return min(max(replicas, least), most)


def moves(policy: ReplicaPolicy) -> bool:
    """Whether anything but a person changes the number of replicas."""
    most = policy.max_replicas
    return policy.wakes if most is None else policy.min_replicas < most


def follows_load(policy: ReplicaPolicy) -> bool:
    """Whether the rate of requests moves the number of replicas."""
    return policy.target_qps_per_replica is not None and (policy.max_replicas or 0) > policy.min_replicas
