"""Block Kit's composition objects, with the limits of their fields."""

from typing import Annotated, Generic, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

# The limits are those of slack_sdk.models.blocks and of
# https://docs.slack.dev/reference/block-kit.
Line = Annotated[str, Meta(min_length=1)]
Id = Annotated[str, Meta(min_length=1, max_length=255)]
Url = Annotated[str, Meta(min_length=1, max_length=3000)]
Upto30 = Annotated[str, Meta(min_length=1, max_length=30)]
Upto75 = Annotated[str, Meta(min_length=1, max_length=75)]
Upto100 = Annotated[str, Meta(min_length=1, max_length=100)]
Upto150 = Annotated[str, Meta(min_length=1, max_length=150)]
Upto200 = Annotated[str, Meta(min_length=1, max_length=200)]
Upto300 = Annotated[str, Meta(min_length=1, max_length=300)]
Upto2000 = Annotated[str, Meta(min_length=1, max_length=2000)]
Upto3000 = Annotated[str, Meta(min_length=1, max_length=3000)]

T = TypeVar("T")


class Kit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An object of Block Kit. Unknown properties are errors, as in Slack."""


class Plain(Kit, Generic[T], frozen=True, kw_only=True, tag_field="type", tag="plain_text"):
    text: T
    emoji: bool | UnsetType = UNSET


class Mrkdwn(Kit, Generic[T], frozen=True, kw_only=True, tag_field="type", tag="mrkdwn"):
    text: T
    verbatim: bool | UnsetType = UNSET


class Confirm(Kit, frozen=True, kw_only=True):
    title: Plain[Upto100]
    text: Plain[Upto300] | Mrkdwn[Upto300]
    confirm: Plain[Upto30] | UnsetType = UNSET
    deny: Plain[Upto30] | UnsetType = UNSET
    style: Literal["primary", "danger"] | UnsetType = UNSET


class Option(Kit, frozen=True, kw_only=True):
    """An option of a select menu, whose text is plain."""

    text: Plain[Upto75]
    value: Upto150
    description: Plain[Upto75] | UnsetType = UNSET


class RichOption(Kit, frozen=True, kw_only=True):
    """An option of checkboxes or radio buttons, whose text may be mrkdwn."""

    text: Plain[Upto75] | Mrkdwn[Upto75]
    value: Upto150
    description: Plain[Upto75] | Mrkdwn[Upto75] | UnsetType = UNSET


class OverflowOption(Option, frozen=True, kw_only=True):
    url: Url | UnsetType = UNSET


Options = Annotated[list[Option], Meta(min_length=1, max_length=100)]


class OptionGroup(Kit, frozen=True, kw_only=True):
    label: Plain[Upto75]
    options: Options


class DispatchActionConfig(Kit, frozen=True, kw_only=True):
    trigger_actions_on: Annotated[list[Literal["on_enter_pressed", "on_character_entered"]], Meta(min_length=1)]


class ConversationFilter(Kit, frozen=True, kw_only=True):
    include: list[Literal["im", "mpim", "private", "public"]] | UnsetType = UNSET
    exclude_external_shared_channels: bool | UnsetType = UNSET
    exclude_bot_users: bool | UnsetType = UNSET


class SlackFile(Kit, frozen=True, kw_only=True):
    id: str | UnsetType = UNSET
    url: str | UnsetType = UNSET


class FeedbackButton(Kit, frozen=True, kw_only=True):
    text: Plain[Upto75]
    value: Upto2000
    accessibility_label: Upto75 | UnsetType = UNSET


class Block(Kit, frozen=True, kw_only=True, tag_field="type"):
    block_id: Id | UnsetType = UNSET
