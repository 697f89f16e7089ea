"""PURE: whose keys open a deployment's endpoint; and a key, for the one person whose it is."""

from bot.slack.message import Message
from bot.views import endpoint
from bot.views.amounts import count, moment
from bot.views.blocks import context, listed, section
from bot.views.escape import code, escape
from bot.views.words import user
from workers.deployment.events import FIRST_KEY, KeyId
from workers.deployment.state import Deployment, Key

NOT_THERE = frozenset({"user_not_in_channel", "not_in_channel", "channel_not_found", "user_not_found"})


def listing(deployment: Deployment) -> Message:
    """Ids, owners and since when; never a key."""
    name = escape(deployment.name)
    if not deployment.keys:
        sentence = f"No key opens *{name}*. `/mixtral key {name} new` makes one."
        return Message(sentence, (section(sentence),))
    said = f"{count(len(deployment.keys), 'key opens', 'keys open')} *{name}*."
    lines = [f"{code(key.id)} · {user(key.user)} · since {moment(key.issued_at)}" for key in deployment.keys]
    how = context(
        f"`/mixtral key {name} new` makes one for you, `/mixtral key {name} new @PERSON` for somebody else; "
        f"`/mixtral key {name} revoke ID` ends one."
    )
    return Message(said, (section(listed([said, *lines])), how))


def handed_over(deployment: Deployment, id_: KeyId, key: str, *, by: str | None) -> Message:
    """The key itself, for its owner's eyes only. `by`: who made it, where that was somebody else."""
    name, url = escape(deployment.name), endpoint.base_url(deployment)
    made = f"{user(by)} made you a key to *{name}*" if by else f"Here is your key to *{name}*"
    blocks = [
        section(f"{made}, which answers at {code(url)}\nThe key: {code(key)}"),
        section(f"```\n{escape(endpoint.curl(deployment, key))}\n```"),
        context(
            f"Keep it: it is not shown again. Its id is {code(id_)}; `/mixtral key {name} revoke {id_}` ends it, "
            f"and nobody else's key."
        ),
    ]
    if deployment.key_not_enforced:
        blocks.append(section(endpoint.NOT_ENFORCED))
    return Message(f"{made}. It is below.", tuple(blocks))


def made_for(deployment: Deployment, id_: KeyId, owner: str) -> Message:
    """To whoever made it."""
    name = escape(deployment.name)
    sentence = (
        f"{user(owner)} has a key to *{name}* now, {code(id_)}, and is the only one who was shown it, here and once. "
        "Slack keeps such messages only for those who are there: if they missed it, revoke it and make another."
    )
    return Message(sentence, (section(sentence), context(f"`/mixtral key {name} revoke {id_}` ends it.")))


def not_shown(owner: str, channel: str, error: str) -> str:
    """Why a key was revoked at once, and what to do instead."""
    if error == "no_answer":
        return (
            f"Slack gave no answer, so it is not certain that {user(owner)} has seen the key. It was revoked: "
            "make another in a moment."
        )
    if channel.startswith("D"):
        where = "this is a conversation of two"
    elif error in NOT_THERE:
        where = "they or I are not in this channel"
    else:
        where = f"Slack refuses it ({escape(error)})"
    return (
        f"{user(owner)} cannot be shown a key here, for {where}. The key was revoked: no one has seen it. "
        "Write the command again in a channel in which they and I both are."
    )


def revoked(deployment: Deployment, key: Key) -> Message:
    name = escape(deployment.name)
    left = [other for other in deployment.keys if other.id != key.id]
    said = f"{code(key.id)}, the key of {user(key.user)}, no longer opens *{name}*."
    if left:
        said += f" {count(len(left), 'key is', 'keys are')} left."
    if key.id == FIRST_KEY or not left:
        said += f" `/mixtral key {name} new` makes another."
    return Message(said, (section(said),))
