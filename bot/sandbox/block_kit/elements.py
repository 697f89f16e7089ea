"""Block Kit's interactive elements and images."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from bot.sandbox.block_kit.objects import (
    Confirm,
    ConversationFilter,
    DispatchActionConfig,
    FeedbackButton,
    Id,
    Kit,
    Option,
    OptionGroup,
    Options,
    OverflowOption,
    Plain,
    RichOption,
    SlackFile,
    Upto75,
    Upto150,
    Upto2000,
    Url,
)

OptionGroups = Annotated[list[OptionGroup], Meta(min_length=1, max_length=100)]
RichOptions = Annotated[list[RichOption], Meta(min_length=1, max_length=10)]
AtLeastOne = Annotated[int, Meta(ge=1)]


def _among(chosen: Sequence[RichOption | Option], options: Sequence[RichOption | Option]) -> None:
    """Refuse an initial option that is none of the options, exactly: also with another text or description."""
    if not all(one in options for one in chosen):
        raise ValueError("initial options must exactly match options")


class Element(Kit, frozen=True, kw_only=True, tag_field="type"):
    """Fields of every interactive element."""

    action_id: Id | UnsetType = UNSET
    confirm: Confirm | UnsetType = UNSET


class Input(Element, frozen=True, kw_only=True):
    """Fields of every element that holds a value."""

    placeholder: Plain[Upto150] | UnsetType = UNSET
    focus_on_load: bool | UnsetType = UNSET


class Image(Kit, frozen=True, kw_only=True, tag_field="type", tag="image"):
    alt_text: Upto2000
    image_url: Url | UnsetType = UNSET
    slack_file: SlackFile | UnsetType = UNSET

    def __post_init__(self) -> None:
        if (self.image_url is UNSET) == (self.slack_file is UNSET):
            raise ValueError("must provide either image_url or slack_file")


class Button(Element, frozen=True, kw_only=True, tag="button"):
    text: Plain[Upto75]
    url: Url | UnsetType = UNSET
    value: Annotated[str, Meta(max_length=2000)] | UnsetType = UNSET
    style: Literal["primary", "danger"] | UnsetType = UNSET
    accessibility_label: Upto75 | UnsetType = UNSET
    agent_prompt: Annotated[str, Meta(max_length=4000)] | UnsetType = UNSET
    agent_prompt_display: str | UnsetType = UNSET
    visible_to_user_ids: list[str] | UnsetType = UNSET


class WorkflowButton(Element, frozen=True, kw_only=True, tag="workflow_button"):
    text: Plain[Upto75]
    workflow: dict[str, Any]
    style: Literal["primary", "danger"] | UnsetType = UNSET
    accessibility_label: Upto75 | UnsetType = UNSET


class IconButton(Element, frozen=True, kw_only=True, tag="icon_button"):
    icon: Literal["trash"]
    text: Plain[Upto75]
    value: Upto2000 | UnsetType = UNSET
    accessibility_label: Upto75 | UnsetType = UNSET
    visible_to_user_ids: Annotated[list[str], Meta(max_length=10)] | UnsetType = UNSET


class FeedbackButtons(Element, frozen=True, kw_only=True, tag="feedback_buttons"):
    positive_button: FeedbackButton
    negative_button: FeedbackButton


class Overflow(Element, frozen=True, kw_only=True, tag="overflow"):
    options: Annotated[list[OverflowOption], Meta(min_length=1, max_length=5)]


class Checkboxes(Input, frozen=True, kw_only=True, tag="checkboxes"):
    options: RichOptions
    initial_options: RichOptions | UnsetType = UNSET

    def __post_init__(self) -> None:
        _among(self.initial_options or (), self.options)


class RadioButtons(Input, frozen=True, kw_only=True, tag="radio_buttons"):
    options: RichOptions
    initial_option: RichOption | UnsetType = UNSET

    def __post_init__(self) -> None:
        _among([self.initial_option] if self.initial_option else (), self.options)


class DatePicker(Input, frozen=True, kw_only=True, tag="datepicker"):
    initial_date: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")] | UnsetType = UNSET


class TimePicker(Input, frozen=True, kw_only=True, tag="timepicker"):
    initial_time: Annotated[str, Meta(pattern=r"^\d{2}:\d{2}$")] | UnsetType = UNSET
    timezone: str | UnsetType = UNSET


class DateTimePicker(Input, frozen=True, kw_only=True, tag="datetimepicker"):
    initial_date_time: Annotated[int, Meta(ge=10**9, lt=10**10)] | UnsetType = UNSET


class _FromOptions(Input, frozen=True, kw_only=True):
    options: Options | UnsetType = UNSET
    option_groups: OptionGroups | UnsetType = UNSET

    def __post_init__(self) -> None:
        if (self.options is UNSET) == (self.option_groups is UNSET):
            raise ValueError("must provide either options or option_groups")
        chosen: Any = getattr(self, "initial_options", UNSET) or getattr(self, "initial_option", UNSET) or ()
        grouped = [option for group in self.option_groups or () for option in group.options]
        _among([chosen] if isinstance(chosen, Option) else chosen, self.options or grouped)


class StaticSelect(_FromOptions, frozen=True, kw_only=True, tag="static_select"):
    initial_option: Option | UnsetType = UNSET


class MultiStaticSelect(_FromOptions, frozen=True, kw_only=True, tag="multi_static_select"):
    initial_options: Options | UnsetType = UNSET
    max_selected_items: AtLeastOne | UnsetType = UNSET


class ExternalSelect(Input, frozen=True, kw_only=True, tag="external_select"):
    initial_option: Option | UnsetType = UNSET
    min_query_length: int | UnsetType = UNSET


class MultiExternalSelect(Input, frozen=True, kw_only=True, tag="multi_external_select"):
    initial_options: Options | UnsetType = UNSET
    min_query_length: int | UnsetType = UNSET
    max_selected_items: AtLeastOne | UnsetType = UNSET


class UsersSelect(Input, frozen=True, kw_only=True, tag="users_select"):
    initial_user: str | UnsetType = UNSET


class MultiUsersSelect(Input, frozen=True, kw_only=True, tag="multi_users_select"):
    initial_users: list[str] | UnsetType = UNSET
    max_selected_items: AtLeastOne | UnsetType = UNSET


class ConversationsSelect(Input, frozen=True, kw_only=True, tag="conversations_select"):
    initial_conversation: str | UnsetType = UNSET
    default_to_current_conversation: bool | UnsetType = UNSET
    response_url_enabled: bool | UnsetType = UNSET
    filter: ConversationFilter | UnsetType = UNSET


class MultiConversationsSelect(Input, frozen=True, kw_only=True, tag="multi_conversations_select"):
    initial_conversations: list[str] | UnsetType = UNSET
    default_to_current_conversation: bool | UnsetType = UNSET
    max_selected_items: AtLeastOne | UnsetType = UNSET
    filter: ConversationFilter | UnsetType = UNSET


class ChannelsSelect(Input, frozen=True, kw_only=True, tag="channels_select"):
    initial_channel: str | UnsetType = UNSET
    response_url_enabled: bool | UnsetType = UNSET


class MultiChannelsSelect(Input, frozen=True, kw_only=True, tag="multi_channels_select"):
    initial_channels: list[str] | UnsetType = UNSET
    max_selected_items: AtLeastOne | UnsetType = UNSET


class PlainTextInput(Input, frozen=True, kw_only=True, tag="plain_text_input"):
    initial_value: Annotated[str, Meta(max_length=3000)] | UnsetType = UNSET
    multiline: bool | UnsetType = UNSET
    min_length: Annotated[int, Meta(ge=0, le=3000)] | UnsetType = UNSET
    max_length: Annotated[int, Meta(ge=1, le=3000)] | UnsetType = UNSET
    dispatch_action_config: DispatchActionConfig | UnsetType = UNSET


class RichTextInput(Input, frozen=True, kw_only=True, tag="rich_text_input"):
    initial_value: dict[str, Any] | UnsetType = UNSET
    min_lines: int | UnsetType = UNSET
    max_lines: int | UnsetType = UNSET
    dispatch_action_config: DispatchActionConfig | UnsetType = UNSET


class NumberInput(Input, frozen=True, kw_only=True, tag="number_input"):
    is_decimal_allowed: bool
    initial_value: str | UnsetType = UNSET
    min_value: str | UnsetType = UNSET
    max_value: str | UnsetType = UNSET
    dispatch_action_config: DispatchActionConfig | UnsetType = UNSET


class EmailInput(Input, frozen=True, kw_only=True, tag="email_text_input"):
    initial_value: str | UnsetType = UNSET
    dispatch_action_config: DispatchActionConfig | UnsetType = UNSET


class UrlInput(Input, frozen=True, kw_only=True, tag="url_text_input"):
    initial_value: str | UnsetType = UNSET
    dispatch_action_config: DispatchActionConfig | UnsetType = UNSET


class FileInput(Input, frozen=True, kw_only=True, tag="file_input"):
    filetypes: list[str] | UnsetType = UNSET
    max_files: Annotated[int, Meta(ge=1, le=10)] | UnsetType = UNSET


Chooser = (
    Checkboxes
    | RadioButtons
    | DatePicker
    | TimePicker
    | StaticSelect
    | MultiStaticSelect
    | ExternalSelect
    | MultiExternalSelect
    | UsersSelect
    | MultiUsersSelect
    | ConversationsSelect
    | MultiConversationsSelect
    | ChannelsSelect
    | MultiChannelsSelect
)
InAccessory = Chooser | Image | Button | WorkflowButton | Overflow
InActions = Chooser | DateTimePicker | Button | WorkflowButton | Overflow | RichTextInput
InInput = Chooser | DateTimePicker | PlainTextInput | RichTextInput | NumberInput | EmailInput | UrlInput | FileInput
