"""The shapes of Slack's answers and events: which keys they have, and of which JSON type.

`python -m tests.slack_shapes FOLDER` rewrites `recorded.csv` from the samples that Slack records for its Java SDK.
FOLDER is `json-logs/samples` of a checkout of github.com/slackapi/java-slack-sdk (MIT). Only names of keys and types
are taken over. A sample merges many recordings of one method: its keys are a union, and its values are emptied.
"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

FOLDER = Path(__file__).parent / "data" / "slack_shapes"
RECORDED = FOLDER / "recorded.csv"
DOCUMENTED = FOLDER / "documented.csv"
"""Shapes that no sample has, with the page that documents them."""
READ = FOLDER / "read.csv"
"""Keys that the product reads."""
DIFFERENCES = FOLDER / "differences.csv"
"""Differences between the stand-in and the two above, with their reason; `*` stands for any part of a name."""

OPAQUE = frozenset(
    {"attachments", "blocks", "elements", "event_payload", "files", "icons", "latest", "properties", "room", "root"}
    | {"previous_message", "values", "profile", "function_data", "interactivity"}
    | {"assistant_app_thread", "title_blocks", "shares", "list_metadata", "list_limits", "initial_comment"}
    | {"file", "transcription", "saved", "media_progress", "headers", "confirm"}
)
"""Keys whose content is not described: it is the app's own, or neither the stand-in nor the product has it."""

METHODS = (
    "agents.sessions.setStatus",
    "apps.connections.open",
    "assistant.threads.setStatus",
    "assistant.threads.setSuggestedPrompts",
    "auth.test",
    "blocks.validate",
    "chat.appendStream",
    "chat.delete",
    "chat.getPermalink",
    "chat.postEphemeral",
    "chat.postMessage",
    "chat.startStream",
    "chat.stopStream",
    "chat.update",
    "conversations.history",
    "conversations.info",
    "conversations.list",
    "conversations.members",
    "conversations.open",
    "conversations.replies",
    "team.info",
    "usergroups.users.list",
    "users.info",
    "views.open",
    "views.publish",
    "views.update",
)
SAMPLES = {
    **{method: f"api/{method}.json" for method in METHODS},
    "slash_commands": "app-backend/slash-commands/SlashCommandPayload.json",
    "block_actions": "app-backend/interactive-components/BlockActionPayload.json",
    "message_action": "app-backend/interactive-components/MessageShortcutPayload.json",
    "view_submission": "app-backend/views/ViewSubmissionPayload.json",
    "view_closed": "app-backend/views/ViewClosedPayload.json",
    "event app_home_opened": "events/AppHomeOpenedPayload.json",
    "event app_mention": "events/AppMentionPayload.json",
    "event app_uninstalled": "events/AppUninstalledPayload.json",
    "event channel_archive": "events/ChannelArchivePayload.json",
    "event channel_id_changed": "events/ChannelIdChangedPayload.json",
    "event channel_shared": "events/ChannelSharedPayload.json",
    "event channel_unshared": "events/ChannelUnsharedPayload.json",
    "event member_joined_channel": "events/MemberJoinedChannelPayload.json",
    "event member_left_channel": "events/MemberLeftChannelPayload.json",
    "event message": "events/MessagePayload.json",
    "event message bot_message": "events/MessageBotPayload.json",
    "event message file_share": "events/MessageFileSharePayload.json",
    "event message message_changed": "events/MessageChangedPayload.json",
    "event message message_deleted": "events/MessageDeletedPayload.json",
    "event message thread_broadcast": "events/MessageThreadBroadcastPayload.json",
    "event tokens_revoked": "events/TokensRevokedPayload.json",
}
"""File of each method, event and payload that the product uses, and of those that it may use next."""

_TYPES = {str: "string", bool: "boolean", int: "number", float: "number", list: "array", dict: "object"}


class Key(Struct, frozen=True, order=True):
    """One key of an answer (`chat.update`), an event (`event app_mention`) or a payload (`block_actions`)."""

    name: str
    path: str
    """Dotted; `[]` after a list: `messages[].user`."""
    type: str


class Difference(Struct, frozen=True):
    """A key for which the stand-in, the product, and Slack's samples or documentation differ."""

    kind: str
    """`sent`: the stand-in sends what is neither recorded nor documented. `read`: the product reads what is not.
    `not sent`: the product reads what the stand-in does not send."""
    name: str
    path: str
    reason: str

    def covers(self, kind: str, name: str, path: str) -> bool:
        return self.kind == kind and fnmatchcase(name, self.name) and path == self.path


def keys_of(name: str, value: Any, path: str = "") -> Iterator[Key]:
    """Yield the keys of a JSON value. Null says nothing about a type, so it is left out."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from _key(name, f"{path}.{key}".removeprefix("."), inner, opaque=key in OPAQUE)
        case list():
            for inner in value:
                yield from _key(name, f"{path}[]", inner, opaque=False)


def _key(name: str, path: str, value: Any, *, opaque: bool) -> Iterator[Key]:
    if value is None:
        return
    yield Key(name, path, _TYPES[type(value)])
    if not opaque:
        yield from keys_of(name, value, path)


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


@cache
def shapes() -> frozenset[Key]:
    """The keys that Slack has recorded or documented; a documented name may contain `*`."""
    found = [Key(row["name"], row["path"], row["type"]) for row in rows(RECORDED)]
    documented = [Key(row["name"], row["path"], row["type"]) for row in rows(DOCUMENTED)]
    names = {key.name for key in (*found, *documented) if "*" not in key.name}
    found += [Key(name, key.path, key.type) for key in documented for name in names if fnmatchcase(name, key.name)]
    return frozenset(found)


def differences() -> list[Difference]:
    return [Difference(**row) for row in rows(DIFFERENCES)]


def recorded(samples: Path) -> Iterable[Key]:
    """The keys of the samples, each once."""
    found = set()
    for name, file in SAMPLES.items():
        if (samples / file).is_file():
            found |= set(keys_of(name, json.loads((samples / file).read_text(encoding="utf-8"))))
    return sorted(found)


def main(samples: Path) -> None:
    with RECORDED.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(("name", "path", "type"))
        writer.writerows((key.name, key.path, key.type) for key in recorded(samples))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
