"""PURE: what a person can ask for with the slash command, as frozen types, and how each is written."""

from typing import TypeAlias

from msgspec import Struct

from workers.deployment.events import KeyId
from workers.placement.limits import Limits

SLASH = "/mixtral"


PROMPT_MOST = 24_000
"""Characters of one prompt: about 6,000 tokens, which every shipped recipe's context holds beside its answer."""

NAME_MOST = 40


class Launch(Struct, frozen=True, kw_only=True):
    """Start a deployment."""

    recipe: str | None = None
    """None: the installation's default recipe."""
    name: str | None = None
    """None: named like its recipe."""
    replicas: int | None = None
    """None: as many as the recipe says."""
    env: dict[str, str] = {}
    limits: Limits = Limits()


class Status(Struct, frozen=True, kw_only=True):
    """Show every deployment, or one of them closely."""

    name: str | None = None


class Scale(Struct, frozen=True, kw_only=True):
    """Change the number of replicas."""

    name: str | None = None
    """None: the person did not say which, and is asked."""
    replicas: int


class Ask(Struct, frozen=True, kw_only=True):
    """Put a prompt to a deployment."""

    text: str
    """As written; its first word may name the deployment, which only the running ones can tell."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """Show where a deployment answers, and its key to who may see it."""

    name: str | None = None
    """None: the one that is running, if it is the only one."""


class NewKey(Struct, frozen=True, kw_only=True):
    """Make a further key to a deployment's endpoint."""

    name: str
    user: str | None = None
    """Whose it is to be, as Slack's id; None: the caller's."""


class ListKeys(Struct, frozen=True, kw_only=True):
    """Show whose keys open a deployment's endpoint; never a key."""

    name: str | None = None
    """As for Endpoint."""


class RevokeKey(Struct, frozen=True, kw_only=True):
    """Have a key open nothing any more."""

    name: str
    key: KeyId


class Logs(Struct, frozen=True, kw_only=True):
    """Show the end of what the replicas printed."""

    name: str | None = None
    """As for Endpoint."""


class Plan(Struct, frozen=True, kw_only=True):
    """Show the ladder of offers for a recipe, and start nothing."""

    recipe: str | None = None
    limits: Limits = Limits()


class Recipes(Struct, frozen=True, kw_only=True):
    """List what can be launched."""


class Down(Struct, frozen=True, kw_only=True):
    """End a deployment."""

    name: str | None = None
    """None: the person did not say which; nothing is ever ended on a guess."""


class Help(Struct, frozen=True, kw_only=True):
    """Explain the commands, or one of them."""

    command: str | None = None


Command: TypeAlias = (
    Launch | Status | Scale | Ask | Endpoint | NewKey | ListKeys | RevokeKey | Logs | Plan | Recipes | Down | Help
)


class UsageError(Struct, frozen=True, kw_only=True):
    """A text that is no command: what is wrong, how it is written, and what may have been meant."""

    sentence: str
    usage: str
    """How the command is written: `/mixtral scale NAME N`."""
    nearest: str | None = None
    """A whole command that may have been meant: `/mixtral status`."""


USAGES = {
    "launch": (
        "launch [RECIPE] [as NAME] [--replicas N] [--spot] [--gpus A100-80GB:2,A100:8] "
        "[--clouds aws,gcp] [--env K=V] [--max-price USD]"
    ),
    "status": "status [NAME]",
    "scale": "scale NAME N",
    "ask": "ask [NAME] PROMPT",
    "endpoint": "endpoint NAME",
    "key": "key NAME [list|new [@PERSON]|revoke ID]",
    "logs": "logs NAME",
    "plan": "plan RECIPE [--spot] [--gpus A100-80GB:2,A100:8] [--clouds aws,gcp] [--max-price USD]",
    "recipes": "recipes",
    "down": "down NAME",
    "help": "help [COMMAND]",
}
"""How each command is written, without the slash."""

SAME_AS = {"deploy": "launch"}
"""Words that are commands by another name."""

MEANT = {
    "start": "launch",
    "run": "launch",
    "up": "launch",
    "create": "launch",
    "serve": "launch",
    "stop": "down",
    "end": "down",
    "kill": "down",
    "delete": "down",
    "destroy": "down",
    "terminate": "down",
    "rm": "down",
    "list": "status",
    "ls": "status",
    "ps": "status",
    "show": "status",
    "resize": "scale",
    "prompt": "ask",
    "chat": "ask",
    "say": "ask",
    "url": "endpoint",
    "curl": "endpoint",
    "keys": "key",
    "token": "key",
    "revoke": "key",
    "log": "logs",
    "tail": "logs",
    "models": "recipes",
    "offers": "plan",
    "price": "plan",
    "prices": "plan",
    "?": "help",
}
"""Words that people bring from other tools, and what they are called here. Suggested, never carried out."""


def usage(command: str) -> str:
    """How a command is written, with the slash."""
    return f"{SLASH} {USAGES[command]}"
