"""Slash commands of the workspace, and the hints that the composer shows for them."""

from typing import Final

import msgspec


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """One line that the composer shows under a slash command."""

    usage: str
    description: str


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A slash command as the app's manifest registers it."""

    command: str
    description: str
    usage_hint: str
    subcommands: tuple[Hint, ...] = ()


INVITE: Final = Command(
    command="/invite", description="Add a person or the app to this channel", usage_hint="@somebody"
)
"""A command of Slack itself, which answers of `/mixtral` refer to."""

COMMANDS: Final = (
    Command(
        command="/mixtral",
        description="Launch, ask and end open models",
        usage_hint="launch | status | ask | scale | endpoint | key | logs | plan | cost | recipes | config | down"
        " | help",
        subcommands=(
            Hint(
                usage="launch [RECIPE] [as NAME] [--replicas N] [--spot]",
                description="start a model on the cheapest machine that fits",
            ),
            Hint(usage="status [NAME]", description="what runs, what it costs, where it answers"),
            Hint(usage="ask [NAME] PROMPT", description="send a prompt to a model"),
            Hint(usage="scale NAME N", description="change the number of replicas"),
            Hint(usage="endpoint NAME", description="the address and the key, visible only to you"),
            Hint(usage="key NAME [list|new [@PERSON]|revoke ID]", description="list, make or revoke a person's key"),
            Hint(usage="logs NAME", description="the last lines of the engine's log"),
            Hint(usage="plan [RECIPE]", description="the machines that fit, cheapest first"),
            Hint(usage="cost [NAME|@PERSON|#CHANNEL] [PERIOD]", description="what the machines have cost"),
            Hint(usage="recipes", description="what can be launched"),
            Hint(usage="config", description="this channel's default deployment, system prompt and temperature"),
            Hint(usage="down NAME", description="end a deployment and its machines"),
            Hint(usage="help [COMMAND]", description="how a command is used"),
        ),
    ),
)
