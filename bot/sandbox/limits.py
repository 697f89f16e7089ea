"""PURE: Slack's limits, and checks of them."""

import json
from datetime import timedelta
from typing import Any, Final, NoReturn

JSON = dict[str, Any]

# Times. https://docs.slack.dev/interactivity/handling-user-interaction
ACK_WITHIN: Final = timedelta(seconds=3)
TRIGGER_LIFE: Final = timedelta(seconds=3)
RESPONSE_URL_LIFE: Final = timedelta(minutes=30)
RESPONSE_URL_USES: Final = 5
STREAM_LIFE: Final = timedelta(minutes=5)
SESSION_LIFE: Final = timedelta(hours=1)
EVENT_RETRIES: Final = (timedelta(0), timedelta(minutes=1), timedelta(minutes=5))

# Socket Mode.
CONNECTIONS: Final = 10

# Messages, in characters, items or bytes.
TEXT: Final = 40_000
UPDATED_TEXT: Final = 4_000
BLOCKS: Final = 50
CHARTS: Final = 2
BLOCKS_TEXT: Final = 13_200
MARKDOWN: Final = 12_000
ATTACHMENTS: Final = 100
METADATA_BYTES: Final = 8_000
# Slack documents no limit for a whole stream. Users report refusals from 10.6 to 11.3 kB of UTF-8.
STREAM_BYTES: Final = 10_600

# Views and assistant threads.
VIEW_STACK: Final = 3
VIEW_BYTES: Final = 250_000
LOADING_MESSAGES: Final = 10
PROMPTS: Final = 4
SESSION_TITLE: Final = 200


class SlackError(Exception):
    """A refusal of a call: Slack's error code, and further fields of the answer."""

    def __init__(self, error: str, *, status: int = 200, headers: JSON | None = None, **fields: Any) -> None:
        super().__init__(error)
        self.error = error
        self.status = status
        self.headers = headers or {}
        self.fields = fields

    def answer(self) -> JSON:
        return {"ok": False, "error": self.error, **self.fields}


def refuse_arguments(*complaints: str) -> NoReturn:
    """Refuse arguments that do not match the schema, with Slack's messages.

    Always raises SlackError: `invalid_arguments`.
    """
    raise SlackError("invalid_arguments", response_metadata={"messages": [f"[ERROR] {text}" for text in complaints]})


def check_text(text: str, *, at_most: int = TEXT) -> None:
    """Refuse a message text that is too long (40,000 characters; 4,000 in chat.update).

    Raises SlackError: `msg_too_long`.
    """
    if len(text) > at_most:
        raise SlackError("msg_too_long")


def check_metadata(metadata: Any) -> JSON | None:
    """The message metadata to store, {event_type, event_payload}, or None.

    Raises SlackError: `invalid_metadata_format`, `invalid_metadata_schema`, `metadata_too_large`.
    """
    if metadata in (None, "", {}):
        return None
    if not isinstance(metadata, dict):
        raise SlackError("invalid_metadata_format")
    payload = metadata.get("event_payload")
    if not isinstance(metadata.get("event_type"), str) or not isinstance(payload, dict):
        raise SlackError("invalid_metadata_schema")
    if len(json.dumps(payload)) > METADATA_BYTES:
        raise SlackError("metadata_too_large")
    return metadata
