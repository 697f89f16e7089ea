"""PURE: a request to one person, made by a direct message with buttons, that is answered once."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import msgspec
from msgspec import Struct

from workers.deployment.events import DeploymentId, KeyId

APPROVED_WITHIN = timedelta(hours=24)
"""Time after which a request can no longer be granted."""
KEY_TAKEN_WITHIN = timedelta(days=7)
"""Time after which a key that was offered can no longer be taken."""


class Deed(StrEnum):
    """What is done when the request is granted."""

    SCALE = "scale"
    END = "end"
    KEEP_TRYING = "keep trying"
    MAKE_KEY = "make a key"
    TAKE_KEY = "take a key"
    APPROVE_LAUNCH = "approve a launch"
    APPROVE_SCALE = "approve a scale"


APPROVALS = frozenset({Deed.APPROVE_LAUNCH, Deed.APPROVE_SCALE})
"""Requests to all approvers, of whom one decides."""


class DeedStage(StrEnum):
    WAITING = "waiting"
    GRANTED = "granted"
    DECLINED = "declined"
    EXPIRED = "expired"
    VOID = "void"  # it could not be carried out, or not be sent


class WantedDeed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person was refused and may ask the launcher for: the value of the button that asks."""

    deed: Deed
    deployment: DeploymentId
    replicas: int | None = None
    """For SCALE; None: not chosen yet."""


class Copy(Struct, frozen=True, kw_only=True):
    """The message with the buttons to one approver. Without a ts, Slack refused it."""

    user: str
    dm: str = ""
    ts: str = ""


class DirectRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request and its progress: a field of the hash `mixtral:direct`, in JSON."""

    id: str
    deed: Deed
    deployment: DeploymentId
    name: str
    """The deployment's."""
    launcher: str
    asker: str
    """The person who asks. TAKE_KEY: who made the key."""
    to: str
    """The person who is asked. TAKE_KEY: the owner of the key."""
    channel: str = ""
    """Where the asker asked."""
    made_at: datetime
    replicas: int | None = None

    approvers: tuple[str, ...] = ()
    """APPROVALS: the people who were asked; `to` is empty."""
    team: str = ""
    command: str = ""
    """APPROVALS: the command, with `/mixtral`."""
    usd: Decimal = Decimal(0)
    """APPROVALS: USD per hour of all replicas at the cheapest offer."""
    ceiling: Decimal | None = None
    """APPROVALS: the ceiling that the approval sets; None if no price is known."""
    left: Decimal | None = None
    """APPROVALS: USD that are left of the tightest budget; None without one."""
    needed: str = ""
    """APPROVALS: why an approver is needed, as a clause."""
    lasts: timedelta | None = None
    """Time in which it may be answered, if another one than usual."""

    stage: DeedStage = DeedStage.WAITING
    decided_by: str = ""
    decided_at: datetime | None = None
    press: str = ""
    """Slack's id of the press that decided it, so that two presses are never the same change."""
    why: str = ""
    """Why it is void, as a sentence."""
    reason: str = ""
    """APPROVALS: why it was denied, in the words of the approver."""
    copies: tuple[Copy, ...] = ()
    """APPROVALS: the messages to the approvers."""
    done: bool = False
    """Whether it was carried out. TAKE_KEY: whether the key was shown."""
    key: KeyId = KeyId("")
    """TAKE_KEY: the id of the key that is being shown, or was."""
    interrupted: bool = False
    """TAKE_KEY: whether an earlier key was revoked, because it is not certain that it was shown."""

    dm: str = ""
    ts: str = ""
    """The message with the buttons."""
    begun: tuple[str, ...] = ()
    """The kinds of messages whose post was started."""

    @property
    def expires_at(self) -> datetime:
        if self.lasts is not None:
            return self.made_at + self.lasts
        return self.made_at + (KEY_TAKEN_WITHIN if self.deed is Deed.TAKE_KEY else APPROVED_WITHIN)

    def is_open(self, now: datetime) -> bool:
        return self.stage is DeedStage.WAITING and now < self.expires_at

    @property
    def is_settled(self) -> bool:
        """Whether nothing more will be carried out."""
        return self.stage is not DeedStage.WAITING and (self.stage is not DeedStage.GRANTED or self.done)


def wanted_of(value: str) -> WantedDeed:
    """Raises MsgspecError."""
    return msgspec.json.decode(value, type=WantedDeed)


def value_of(wanted: WantedDeed) -> str:
    return msgspec.json.encode(wanted).decode()
