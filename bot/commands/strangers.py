"""PURE: whether the sender of a payload belongs to the bot's company, as far as the payload shows."""

from enum import StrEnum

from msgspec import Struct

from bot.slack.facts import PersonFacts
from bot.slack.message import JSON


class Home(Struct, frozen=True, kw_only=True):
    """The workspaces and enterprises whose people may use the bot."""

    team: str = ""
    """The workspace in which it is installed."""
    enterprise: str = ""
    """The enterprise of that workspace, on Enterprise Grid."""
    others: frozenset[str] = frozenset()
    """Ids of workspaces and enterprises of other companies that are let in."""


class Sender(Struct, frozen=True, kw_only=True):
    """Who sent a payload, and in which channel. Fields are empty if the payload does not contain them."""

    user: str = ""
    team: str = ""
    enterprise: str = ""
    channel: str = ""
    shared: bool | None = None
    """Whether the channel is shared with another company."""


class Standing(StrEnum):
    OURS = "of the bot's company"
    INVITED = "of a company that is let in"
    STRANGER = "of another company"
    UNCLEAR = "not said"


def sender_of(body: JSON) -> Sender:
    """The sender of an event, a command, a click or a modal. Their payloads differ.

    No user: a bot, a workflow, or Slack itself.
    """
    if isinstance(event := body.get("event"), dict):
        return _of_event(body, event)
    if isinstance(user := body.get("user"), dict):
        return _of_interaction(body, user)
    return Sender(
        user=_text(body.get("user_id")),
        team=_text(body.get("team_id")),
        enterprise=_text(body.get("enterprise_id")),
        channel=_text(body.get("channel_id")),
    )


def _of_event(body: JSON, event: JSON) -> Sender:
    if event.get("bot_id"):
        return Sender()
    # In a channel that is shared, `team_id` of the envelope is that of the workspace where the event occurred.
    # `user_team` is there if the person is of another one; either of the two may be the id of an enterprise.
    named = _text(event.get("user_team")) or _text(event.get("team"))
    is_enterprise = named.startswith("E")
    enterprise = named if is_enterprise else ""
    if named and named == body.get("team_id"):
        enterprise = _text(body.get("enterprise_id"))
    channel, shared = _text(event.get("channel")), body.get("is_ext_shared_channel")
    # On the Home tab and in a direct message, the flag does not reliably describe the person.
    is_alone = event.get("type") == "app_home_opened" or event.get("channel_type") == "im" or channel.startswith("D")
    return Sender(
        user=_text(event.get("user")),
        team="" if is_enterprise else named,
        enterprise=enterprise,
        channel=channel,
        shared=shared if isinstance(shared, bool) and not is_alone else None,
    )


def _of_interaction(body: JSON, user: JSON) -> Sender:
    # `team` may be the app's instead of the person's; its enterprise is the person's only if both are equal.
    named = body.get("team") or {}
    team = _text(user.get("team_id"))
    channel = (body.get("channel") or {}).get("id") or (body.get("container") or {}).get("channel_id")
    return Sender(
        user=_text(user.get("id")),
        team=team,
        enterprise=_text(named.get("enterprise_id")) if team and team == named.get("id") else "",
        channel=_text(channel),
    )


def standing(sender: Sender, home: Home) -> Standing:
    """Return how the sender is related to the bot's company. UNCLEAR: decide by `once_asked` after a call to Slack."""
    if not sender.user or not home.team:
        return Standing.OURS
    said = {sender.team, sender.enterprise} - {""}
    if said & {home.team, home.enterprise}:
        return Standing.OURS
    if said & home.others:
        return Standing.INVITED
    if said and not home.enterprise and not any(id_.startswith("E") for id_ in said):
        # The payload does not contain the enterprise of their workspace.
        is_perhaps_invited = not sender.enterprise and any(id_.startswith("E") for id_ in home.others)
        return Standing.UNCLEAR if is_perhaps_invited else Standing.STRANGER
    # Of the same Grid, perhaps: only people of the company are in a channel that is not shared.
    return Standing.OURS if sender.shared is False else Standing.UNCLEAR


def once_asked(sender: Sender, person: PersonFacts | None, shared: bool | None, home: Home) -> Standing:
    """The standing of an UNCLEAR sender, by Slack's data about the person or, without them, about the channel.

    On Grid, Slack returns the enterprise of a person of one of its workspaces. It stays UNCLEAR if there are no data
    about the person, and the channel is shared or not known.
    """
    if person is None or not (person.team or person.enterprise):
        is_foreign = not home.enterprise and bool(sender.team or sender.enterprise)
        return Standing.OURS if shared is False and not is_foreign else Standing.UNCLEAR
    found = standing(Sender(user=sender.user, team=person.team, enterprise=person.enterprise), home)
    return Standing.STRANGER if found is Standing.UNCLEAR else found


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
