"""PURE: the messages about keys: the list, a new key for its owner, a revocation."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

from bot.slack.message import Message
from bot.views import endpoint
from bot.views.amounts import count, moment
from bot.views.blocks import context, listed, section
from bot.views.escape import code, escape
from bot.views.words import user
from workers.deployment.events import FIRST_KEY, KeyId
from workers.deployment.state import Deployment, Key

Uses: TypeAlias = Mapping[KeyId, datetime]
"""The last use of each key of which one is known."""


def listing(deployment: Deployment, uses: Uses) -> Message:
    """The id, owner, time and last use of each key, never a key; for those who may make and revoke them."""
    name = escape(deployment.name)
    if not deployment.keys:
        return _list(deployment, {}, f"`/mixtral key {name} new` makes one.")
    return _list(
        deployment,
        {key.id: uses.get(key.id) for key in deployment.keys},
        f"`/mixtral key {name} new` makes one for you, `/mixtral key {name} new @PERSON` for another person; "
        f"`/mixtral key {name} revoke ID` revokes one.",
    )


def listing_to_others(deployment: Deployment, uses: Uses, reader: str) -> Message:
    """The same for a person who may only revoke a key of their own, and who sees the last use of no other key."""
    name = escape(deployment.name)
    own = [key.id for key in deployment.keys if key.user == reader]
    if own:
        return _list(
            deployment, {id_: uses.get(id_) for id_ in own}, f"`/mixtral key {name} revoke ID` revokes your own."
        )
    launcher = user(deployment.place.user)
    return _list(deployment, {}, f"For a key of your own, ask {launcher} to type `/mixtral key {name} new @YOU`.")


def _list(deployment: Deployment, uses: Mapping[KeyId, datetime | None], how: str) -> Message:
    """Keys that are missing from `uses` are shown without their last use."""
    name = escape(deployment.name)
    if not deployment.keys:
        sentence = f"*{name}* has no keys. {how}"
        return Message(sentence, (section(sentence),))
    sentence = f"*{name}* has {count(len(deployment.keys), 'key')}."
    lines = [
        f"{code(key.id)} · {user(key.user)} · since {moment(key.issued_at)}"
        f"{_used(uses[key.id]) if key.id in uses else ''}"
        for key in deployment.keys
    ]
    return Message(sentence, (section(listed([sentence, *lines])), context(how)))


def _used(at: datetime | None) -> str:
    return f" · last used {moment(at)}" if at else " · no use recorded"


def handed_over(deployment: Deployment, id_: KeyId, key: str, *, by: str | None) -> Message:
    """The key itself, shown only to its owner. `by`: who made it, if not the owner."""
    name, url = escape(deployment.name), endpoint.base_url(deployment)
    made = f"{user(by)} made you a key to *{name}*" if by else f"Here is your key to *{name}*"
    blocks = [
        section(f"{made}, which answers at {code(url)}\nThe key: {code(key)}"),
        section(f"```\n{escape(endpoint.curl(deployment, key))}\n```"),
        context(
            f"Keep it: it is not shown again. Its id is {code(id_)}; `/mixtral key {name} revoke {id_}` revokes it "
            "and no other key."
        ),
    ]
    if deployment.key_not_enforced:
        blocks.append(section(endpoint.NOT_ENFORCED))
    return Message(f"{made}. It is below.", tuple(blocks))


def revoked(deployment: Deployment, key: Key) -> Message:
    name = escape(deployment.name)
    left = [other for other in deployment.keys if other.id != key.id]
    sentence = f"The key {code(key.id)} of {user(key.user)} to *{name}* is revoked."
    if left:
        sentence += f" {count(len(left), 'key is', 'keys are')} left."
    if key.id == FIRST_KEY or not left:
        sentence += f" `/mixtral key {name} new` makes another."
    return Message(sentence, (section(sentence),))
