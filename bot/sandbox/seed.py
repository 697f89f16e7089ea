"""What a workspace contains at first: fixed ids and tokens, people, channels.

The demo shows `SANDBOX`. A test may choose `COMPANY`, which also has private, shared and restricted channels, and
people of other teams.
"""

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
EVE: Final = UserId("U0EVE000001")
GUS: Final = UserId("U0GUS000001")
GRID: Final = UserId("U0GRID00001")

ENTERPRISE_ID: Final = "E0SANDBOX01"
ACME_TEAM: Final = TeamId("T0ACME00001")
SIBLING_TEAM: Final = TeamId("T0SIBLING01")

GENERAL: Final = ChannelId("C0GENERAL01")
MIXTRAL: Final = ChannelId("C0MIXTRAL01")
RANDOM: Final = ChannelId("C0RANDOM001")
DM_ROBIN: Final = ChannelId("D0ROBIN0001")
DM_ADA: Final = ChannelId("D0ADA000001")
DM_NOOR: Final = ChannelId("D0NOOR00001")
OPS: Final = ChannelId("C0OPS000001")
ACME: Final = ChannelId("C0ACME00001")
OLD: Final = ChannelId("C0OLD000001")
NEWS: Final = ChannelId("C0NEWS00001")
THREADS: Final = ChannelId("C0THREADS01")
GROUP: Final = ChannelId("G0GROUP0001")
PAIR: Final = ChannelId("D0PAIR00001")
DM_GUS: Final = ChannelId("D0GUS000001")
DM_GRID: Final = ChannelId("D0GRID00001")


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person, or the app's bot user. A person of another team is external, unless the enterprise is the same."""

    id: UserId
    name: str
    real_name: str
    color: str
    is_bot: bool = False
    is_admin: bool = False
    team_id: TeamId = TEAM_ID
    is_external: bool = False
    is_guest: bool = False


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A place for messages. `kind` is "channel" (public), "private", "mpim" or "im".

    `external_teams` and `sibling_teams` share the channel: those of other companies, and those of the same enterprise.
    """

    id: ChannelId
    name: str
    kind: str
    members: tuple[UserId, ...]
    topic: str = ""
    is_archived: bool = False
    is_read_only: bool = False
    is_thread_only: bool = False
    is_non_threadable: bool = False
    lets_app_post: bool = False
    """Whether the posting permissions name the app, which no method reports."""
    external_teams: tuple[TeamId, ...] = ()
    sibling_teams: tuple[TeamId, ...] = ()

    def restriction(self, *, is_reply: bool) -> str:
        """The error for a person without the right to write there, at top level or in a thread; "" if all have it."""
        if self.is_read_only:
            return "restricted_action_read_only_channel"
        if self.is_thread_only and not is_reply:
            return "restricted_action_thread_only_channel"
        return "restricted_action_non_threadable_channel" if self.is_non_threadable and is_reply else ""

    @property
    def is_im(self) -> bool:
        return self.kind == "im"

    @property
    def type(self) -> str:
        """The kind as events name it."""
        return "group" if self.kind == "private" else self.kind

    @property
    def is_direct(self) -> bool:
        """Whether this is a direct message of two people or of more."""
        return self.kind in {"im", "mpim"}

    @property
    def is_bot_im(self) -> bool:
        return self.is_im and BOT_USER in self.members


class Seed(msgspec.Struct, frozen=True, kw_only=True):
    """The people and channels that a workspace has at first; `enterprise_id` is empty unless it is part of a Grid."""

    people: tuple[User, ...]
    channels: tuple[Channel, ...]
    enterprise_id: str = ""


PEOPLE: Final = (
    User(id=ROBIN, name="robin", real_name="Robin", color="4a7c59", is_admin=True),
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

SANDBOX: Final = Seed(people=PEOPLE, channels=CHANNELS)
"""What the demo shows."""

COMPANY: Final = Seed(
    people=(
        *PEOPLE,
        User(id=EVE, name="eve", real_name="Eve", color="5a5a5a", team_id=ACME_TEAM, is_external=True),
        User(id=GUS, name="gus", real_name="Gus", color="8a6d3b", is_guest=True),
        User(id=GRID, name="grid", real_name="Grid", color="3b6d8a", team_id=SIBLING_TEAM),
    ),
    channels=(
        *(channel for channel in CHANNELS if channel.id != MIXTRAL),
        Channel(
            id=MIXTRAL,
            name="mixtral",
            kind="channel",
            members=(ROBIN, ADA, NOOR, GUS, GRID, BOT_USER),
            sibling_teams=(SIBLING_TEAM,),
        ),
        Channel(id=OPS, name="ops", kind="private", members=(ROBIN, ADA, BOT_USER)),
        Channel(
            id=ACME, name="with-acme", kind="channel", members=(ROBIN, ADA, EVE, BOT_USER), external_teams=(ACME_TEAM,)
        ),
        Channel(id=OLD, name="old", kind="channel", members=(ROBIN, ADA, BOT_USER), is_archived=True),
        Channel(id=NEWS, name="news", kind="channel", members=(ROBIN, ADA, NOOR, BOT_USER), is_read_only=True),
        Channel(id=THREADS, name="threads", kind="channel", members=(ROBIN, ADA, NOOR, BOT_USER), is_thread_only=True),
        Channel(id=GROUP, name="mpdm-robin--ada--mixtral-1", kind="mpim", members=(ROBIN, ADA, BOT_USER)),
        Channel(id=PAIR, name="ada", kind="im", members=(ROBIN, ADA)),
        Channel(id=DM_GUS, name="gus", kind="im", members=(GUS, BOT_USER)),
        Channel(id=DM_GRID, name="grid", kind="im", members=(GRID, BOT_USER)),
    ),
    enterprise_id=ENTERPRISE_ID,
)
"""A workspace of a Grid: a private, a shared, an archived, a read-only and a thread-only channel, a group, a direct
message without the app; a person of another company (Eve), a guest of #mixtral (Gus), and a person of another workspace
of the Grid (Grid). The guest may open the app, although Slack's clients may not offer it to guests.
"""

SEEDS: Final = {"sandbox": SANDBOX, "company": COMPANY}

USER_GROUPS: Final = {"S0COOKS0001": ("cooks", (ADA, NOOR))}
"""Handle and members of each user group, by id."""
