"""PURE: the commands after `/mixtral` as frozen types, and the usage of each."""

from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

from workers.deployment.events import KeyId
from workers.placement.limits import Limits

SLASH = "/mixtral"

MAX_PROMPT = 24_000
"""Maximum characters of a prompt: about 6,000 tokens, which fit every shipped recipe's context with the answer."""

MAX_NAME = 40


class Launch(Struct, frozen=True, kw_only=True):
    """Start a deployment."""

    recipe: str | None = None
    """None: the installation's default recipe."""
    name: str | None = None
    """None: the recipe's name."""
    replicas: int | None = None
    """None: the number in the recipe."""
    env: dict[str, str] = {}
    limits: Limits = Limits()
    lasts: timedelta | None = None
    """The time after which it ends; None: not given."""
    until: time | datetime | None = None
    """When it ends, in the time zone of the caller: a time of the day, or a moment without a zone. None: not given."""
    stop_after_idle: timedelta | None = None
    """The time without a request after which it ends; None: not given."""
    hours: str | None = None
    """The hours outside which it pauses, as `recipes.hours` writes them; None: not given."""


class Status(Struct, frozen=True, kw_only=True):
    """Show every deployment, or one in detail."""

    name: str | None = None


class Scale(Struct, frozen=True, kw_only=True):
    """Change the number of replicas."""

    name: str | None = None
    """None: not given; the reply asks for it."""
    replicas: int


class Ask(Struct, frozen=True, kw_only=True):
    """Send a prompt to a deployment."""

    text: str
    """As typed. Its first word is the deployment's name if a running deployment has that name."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """Show a deployment's address, and its key to those who may see it."""

    name: str | None = None
    """None: the running deployment, if there is exactly one."""


class NewKey(Struct, frozen=True, kw_only=True):
    """Make another key to a deployment's endpoint."""

    name: str
    user: str | None = None
    """The owner's Slack id; None: the caller."""


class ListKeys(Struct, frozen=True, kw_only=True):
    """Show the ids and owners of an endpoint's keys; never a key."""

    name: str | None = None
    """As for Endpoint."""


class RevokeKey(Struct, frozen=True, kw_only=True):
    """Revoke a key."""

    name: str
    key: KeyId


class Logs(Struct, frozen=True, kw_only=True):
    """Show the last lines of the replicas' logs."""

    name: str | None = None
    """As for Endpoint."""


class Plan(Struct, frozen=True, kw_only=True):
    """Show the ladder of offers for a recipe, and start nothing."""

    recipe: str | None = None
    limits: Limits = Limits()


class Period(StrEnum):
    """A period up to now."""

    TODAY = "today"
    WEEK = "week"
    MONTH = "month"


class Cost(Struct, frozen=True, kw_only=True):
    """Show what machines have cost: all, or those of one deployment, person or channel."""

    name: str | None = None
    user: str | None = None
    """Slack's id of the person who launched them."""
    channel: str | None = None
    """Slack's id of the channel in which they were launched."""
    period: Period = Period.MONTH


class Recipes(Struct, frozen=True, kw_only=True):
    """List what can be launched."""


class Config(Struct, frozen=True, kw_only=True):
    """Show or change the settings of the channel."""


class Share(Struct, frozen=True, kw_only=True):
    """Make a person a co-owner of a deployment, or show its co-owners."""

    name: str
    user: str | None = None
    """Slack's id; None: show the co-owners."""


class Unshare(Struct, frozen=True, kw_only=True):
    """Make a person no longer a co-owner."""

    name: str
    user: str


class Down(Struct, frozen=True, kw_only=True):
    """End a deployment."""

    name: str | None = None
    """None: not given; the reply asks for it, because a deployment is ended only by its name."""


class Help(Struct, frozen=True, kw_only=True):
    """Explain the commands, or one of them."""

    command: str | None = None


class Form(Struct, frozen=True, kw_only=True):
    """Open the launch form: the slash command alone."""


Command: TypeAlias = (
    Form
    | Launch
    | Status
    | Scale
    | Ask
    | Endpoint
    | NewKey
    | ListKeys
    | RevokeKey
    | Logs
    | Plan
    | Cost
    | Recipes
    | Config
    | Share
    | Unshare
    | Down
    | Help
)


class UsageError(Struct, frozen=True, kw_only=True):
    """A text that is not a valid command: the cause, the usage, and a similar valid command."""

    sentence: str
    usage: str
    """The usage of the command: `/mixtral scale NAME N`."""
    nearest: str | None = None
    """A complete command that may have been meant: `/mixtral status`."""


USAGES = {
    "launch": (
        "launch [RECIPE] [as NAME] [--replicas N] [--spot] [--gpus A100-80GB:2,A100:8] "
        "[--clouds aws,gcp] [--env K=V] [--max-price USD] [--for 8h | --until 18:00] "
        '[--stop-after-idle 2h] [--hours "mon-fri 09:00-19:00 Europe/Paris"]'
    ),
    "status": "status [NAME]",
    "scale": "scale NAME N",
    "ask": "ask [NAME] PROMPT",
    "endpoint": "endpoint NAME",
    "key": "key NAME [list|new [@PERSON]|revoke ID]",
    "logs": "logs NAME",
    "plan": "plan [RECIPE] [--spot] [--gpus A100-80GB:2,A100:8] [--clouds aws,gcp] [--max-price USD]",
    "cost": "cost [NAME|@PERSON|#CHANNEL] [today|week|month]",
    "recipes": "recipes",
    "config": "config",
    "share": "share NAME [@PERSON]",
    "unshare": "unshare NAME @PERSON",
    "down": "down NAME",
    "help": "help [COMMAND]",
}
"""The usage of each command, without `/mixtral`."""

SAME_AS = {"deploy": "launch"}
"""Aliases of commands."""

_WORDS_OF_OTHERS = {
    "launch": ("start", "run", "up", "create", "serve"),
    "down": ("stop", "end", "kill", "delete", "destroy", "terminate", "rm"),
    "status": ("list", "ls", "ps", "show"),
    "scale": ("resize",),
    "ask": ("prompt", "chat", "say"),
    "endpoint": ("url", "curl"),
    "key": ("keys", "token", "revoke"),
    "logs": ("log", "tail"),
    "recipes": ("models",),
    "config": ("settings", "configure", "preferences"),
    "plan": ("offers", "price", "prices"),
    "cost": ("costs", "spend", "spending", "bill", "billing"),
    "share": ("coowner", "owners", "delegate"),
    "help": ("?",),
}
MEANT = {word: command for command, words in _WORDS_OF_OTHERS.items() for word in words}
"""Words of other tools, and the command that is suggested for each. They are never executed."""

_BEGINNINGS = """
    what which who whom whose when where why how what's who's where's how's when's why's
    is are am was were do does did can could will would shall should may might must has have had isn't aren't don't
    tell write explain give list name show make describe translate summarize summarise compare find define create say
    help please let let's hello hi hey thanks
    a an the this that these those there it i you we they he she my our your
    if in on at of for from with and or but not no yes to
"""
QUESTION_WORDS = frozenset(_BEGINNINGS.split())
"""Words with which a prompt may begin. They are not names of new deployments."""


def address(name: str) -> str:
    """A deployment's name as a prompt begins with it: `fast`, `what:`."""
    return f"{name}:" if name in QUESTION_WORDS else name


def usage(command: str) -> str:
    """The usage of a command, with `/mixtral`."""
    return f"{SLASH} {USAGES[command]}"
