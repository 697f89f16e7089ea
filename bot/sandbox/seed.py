"""The initial content of the sandbox workspace: fixed ids and tokens, three people, three channels."""

from typing import Final, NewType

import msgspec

TeamId = NewType("TeamId", str)
UserId = NewType("UserId", str)
ChannelId = NewType("ChannelId", str)

# Not secret: the tokens are valid only for a stand-in that listens on loopback.
BOT_TOKEN: Final = "xoxb-sandbox-0000-mixtral"  # noqa: S105 - see above
APP_TOKEN: Final = "xapp-sandbox-0000-mixtral"  # noqa: S105 - see above
VERIFICATION_TOKEN: Final = "sandbox-verification"  # noqa: S105 - see above

TEAM_ID: Final = TeamId("T0SANDBOX01")
TEAM_NAME: Final = "Sandbox"
TEAM_DOMAIN: Final = "sandbox"
APP_ID: Final = "A0MIXTRAL01"
BOT_ID: Final = "B0MIXTRAL01"
BOT_NAME: Final = "mixtral"

BOT_USER: Final = UserId("U0MIXTRAL01")
ROBIN: Final = UserId("U0ROBIN0001")
ADA: Final = UserId("U0ADA000001")
NOOR: Final = UserId("U0NOOR00001")

GENERAL: Final = ChannelId("C0GENERAL01")
MIXTRAL: Final = ChannelId("C0MIXTRAL01")
RANDOM: Final = ChannelId("C0RANDOM001")
DM_ROBIN: Final = ChannelId("D0ROBIN0001")
DM_ADA: Final = ChannelId("D0ADA000001")
DM_NOOR: Final = ChannelId("D0NOOR00001")

SCOPES: Final = (
    "app_mentions:read,assistant:write,channels:history,channels:read,channels:join,chat:write,"
    "commands,im:history,im:read,im:write,reactions:write,team:read,users:read"
)


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person of the workspace, or the app's bot user."""

    id: UserId
    name: str
    real_name: str
    color: str
    is_bot: bool = False


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A public channel, or a direct message with the bot."""

    id: ChannelId
    name: str
    kind: str
    members: tuple[UserId, ...]
    topic: str = ""

    @property
    def is_im(self) -> bool:
        return self.kind == "im"


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


PEOPLE: Final = (
    User(id=ROBIN, name="robin", real_name="Robin", color="4a7c59"),
    User(id=ADA, name="ada", real_name="Ada", color="7a5195"),
    User(id=NOOR, name="noor", real_name="Noor", color="c1666b"),
)
BOT: Final = User(id=BOT_USER, name=BOT_NAME, real_name="Mixtral", color="d97706", is_bot=True)

CHANNELS: Final = (
    Channel(
        id=GENERAL,
        name="general",
        kind="channel",
        members=(ROBIN, ADA, NOOR, BOT_USER),
        topic="Everyone is here.",
    ),
    Channel(
        id=MIXTRAL,
        name="mixtral",
        kind="channel",
        members=(ROBIN, ADA, NOOR, BOT_USER),
        topic="Launch a model, ask it, end it.",
    ),
    Channel(
        id=RANDOM,
        name="random",
        kind="channel",
        members=(ROBIN, ADA, NOOR),
        topic="Invite the bot with /invite @mixtral.",
    ),
    Channel(id=DM_ROBIN, name="robin", kind="im", members=(ROBIN, BOT_USER)),
    Channel(id=DM_ADA, name="ada", kind="im", members=(ADA, BOT_USER)),
    Channel(id=DM_NOOR, name="noor", kind="im", members=(NOOR, BOT_USER)),
)

INVITE: Final = Command(
    command="/invite", description="Add a person or the app to this channel", usage_hint="@somebody"
)
"""A command of Slack itself, which answers of `/mixtral` refer to."""

COMMANDS: Final = (
    Command(
        command="/mixtral",
        description="Launch, ask and end open models",
        usage_hint="launch | status | ask | scale | endpoint | key | logs | plan | recipes | down | help",
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
            Hint(usage="recipes", description="what can be launched"),
            Hint(usage="down NAME", description="end a deployment and its machines"),
            Hint(usage="help [COMMAND]", description="how a command is used"),
        ),
    ),
)
