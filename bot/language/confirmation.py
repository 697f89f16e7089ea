"""PURE: what a person is asked to confirm before it is carried out."""

from decimal import Decimal

from msgspec import Struct

from workers.deployment.events import DeploymentId


class Confirmation(Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """A launch or a scale, and its price when the person was asked."""

    usd: Decimal
    """USD per hour of all replicas at the cheapest offer."""
    command: str = ""
    """The command with `/mixtral`; empty for a request that is granted."""
    deployment: DeploymentId | None = None
    """The one that the command's name stood for."""
    channel: str = ""
    """Where the person asked; empty where there is no channel."""
    grant: str = ""
    """The id of the request that is granted."""
