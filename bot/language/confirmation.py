"""PURE: what a person is asked to confirm before it is carried out, as the value of the button that confirms."""

from decimal import Decimal

import msgspec
from msgspec import Struct

from workers.deployment.events import DeploymentId


class Confirmation(Struct, frozen=True, kw_only=True, omit_defaults=True):
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


def confirmation_of(value: str) -> Confirmation:
    """Raises MsgspecError."""
    return msgspec.json.decode(value, type=Confirmation)


def value_of(confirmation: Confirmation) -> str:
    return msgspec.json.encode(confirmation).decode()
