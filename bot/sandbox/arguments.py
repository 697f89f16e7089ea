"""The arguments of a Web API call, read from any of the body formats that Slack accepts."""

import json
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from bot.sandbox.limits import JSON, SlackError, refuse_arguments


class Arguments:
    """The named arguments of one call; structured ones may be JSON text, as in form bodies."""

    def __init__(self, given: JSON) -> None:
        self._given = given

    def __contains__(self, name: str) -> bool:
        """Whether the call contains the argument; an empty list counts, an empty text does not."""
        return self._given.get(name) not in (None, "")

    def names(self) -> set[str]:
        """The names of the arguments that the call contains."""
        return {name for name in self._given if name in self}

    def text(self, name: str, default: str = "") -> str:
        value = self._given.get(name)
        return default if value is None else str(value)

    def required(self, name: str) -> str:
        """The argument's text. Raises SlackError: `invalid_arguments` if it is missing."""
        if name not in self:
            refuse_arguments(f"missing required field: {name}")
        return self.text(name)

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self._given.get(name)
        return default if value is None else str(value).lower() in {"1", "true", "yes"}

    def number(self, name: str, default: int, at_most: int) -> int:
        """An integer, clamped to 1 … `at_most`. Raises SlackError: `invalid_limit` if it is not an integer."""
        try:
            return max(1, min(at_most, int(self._given.get(name) or default)))
        except (TypeError, ValueError):
            raise SlackError("invalid_limit") from None

    def json(self, name: str, refusal: str = "invalid_arguments") -> Any:
        """A structured argument, or None. Raises SlackError: `refusal` if its JSON text is invalid."""
        value = self._given.get(name)
        if not isinstance(value, str):
            return value
        if not value:
            return None
        try:
            return json.loads(value)
        except ValueError:
            raise SlackError(refusal) from None


async def read_arguments(request: Request) -> JSON:
    """The arguments of query and body; the body takes precedence.

    Raises SlackError: `invalid_json`, `json_not_object`, `invalid_form_data`, `invalid_post_type`.
    """
    given: JSON = dict(request.query_params)
    if request.method != "POST":
        return given
    body = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not body:  # for auth.test the SDK sends `application/json` and no body
        return given
    match kind:
        case "application/json":
            return given | _json_object(body)
        case "application/x-www-form-urlencoded":
            try:
                return given | dict(parse_qsl(body.decode(), keep_blank_values=True))
            except UnicodeDecodeError:
                raise SlackError("invalid_form_data") from None
        case _:
            raise SlackError("invalid_post_type")


def _json_object(body: bytes) -> JSON:
    try:
        decoded = json.loads(body)
    except ValueError:
        raise SlackError("invalid_json") from None
    if not isinstance(decoded, dict):
        raise SlackError("json_not_object")
    return decoded
