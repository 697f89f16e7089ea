"""Block Kit's blocks, and which of them messages and views may contain."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from bot.sandbox.block_kit.data import DataTable, DataVisualization, RichText, Table
from bot.sandbox.block_kit.elements import (
    Button,
    FeedbackButtons,
    IconButton,
    Image,
    InAccessory,
    InActions,
    InInput,
)
from bot.sandbox.block_kit.objects import (
    Block,
    Kit,
    Line,
    Mrkdwn,
    Plain,
    SlackFile,
    Upto150,
    Upto200,
    Upto2000,
    Upto3000,
    Url,
)


class Section(Block, frozen=True, kw_only=True, tag="section"):
    text: Plain[Upto3000] | Mrkdwn[Upto3000] | UnsetType = UNSET
    fields: Annotated[list[Plain[Upto2000] | Mrkdwn[Upto2000]], Meta(min_length=1, max_length=10)] | UnsetType = UNSET
    accessory: InAccessory | UnsetType = UNSET
    expand: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.text is UNSET and self.fields is UNSET:
            raise ValueError("must provide either text or fields")


class Divider(Block, frozen=True, kw_only=True, tag="divider"):
    pass


class Header(Block, frozen=True, kw_only=True, tag="header"):
    text: Plain[Upto150]
    level: Annotated[int, Meta(ge=1, le=4)] | UnsetType = UNSET


class ImageBlock(Block, frozen=True, kw_only=True, tag="image"):
    alt_text: Upto2000
    image_url: Url | UnsetType = UNSET
    slack_file: SlackFile | UnsetType = UNSET
    title: Plain[Upto2000] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if (self.image_url is UNSET) == (self.slack_file is UNSET):
            raise ValueError("must provide either image_url or slack_file")


class Actions(Block, frozen=True, kw_only=True, tag="actions"):
    elements: Annotated[list[InActions], Meta(min_length=1, max_length=25)]


class Context(Block, frozen=True, kw_only=True, tag="context"):
    elements: Annotated[list[Plain[Upto2000] | Mrkdwn[Upto2000] | Image], Meta(min_length=1, max_length=10)]


class ContextActions(Block, frozen=True, kw_only=True, tag="context_actions"):
    elements: Annotated[list[FeedbackButtons | IconButton], Meta(min_length=1, max_length=5)]


class InputBlock(Block, frozen=True, kw_only=True, tag="input"):
    label: Plain[Upto2000]
    element: InInput
    hint: Plain[Upto2000] | UnsetType = UNSET
    optional: bool | UnsetType = UNSET
    dispatch_action: bool | UnsetType = UNSET


class Markdown(Block, frozen=True, kw_only=True, tag="markdown"):
    text: Annotated[str, Meta(min_length=1, max_length=12_000)]


class Source(Kit, frozen=True, kw_only=True, tag_field="type", tag="url"):
    url: str
    text: str


class TaskCard(Block, frozen=True, kw_only=True, tag="task_card"):
    task_id: Line
    title: Line
    status: Literal["pending", "in_progress", "complete", "error"] | UnsetType = UNSET
    details: RichText | UnsetType = UNSET
    output: RichText | UnsetType = UNSET
    sources: list[Source] | UnsetType = UNSET


class Plan(Block, frozen=True, kw_only=True, tag="plan"):
    title: Line
    tasks: list[TaskCard] | UnsetType = UNSET


class Alert(Block, frozen=True, kw_only=True, tag="alert"):
    text: Plain[Upto200] | Mrkdwn[Upto200]
    level: Literal["default", "info", "warning", "error", "success"] | UnsetType = UNSET


class Card(Block, frozen=True, kw_only=True, tag="card"):
    hero_image: Image | UnsetType = UNSET
    icon: Image | UnsetType = UNSET
    title: Plain[Upto150] | Mrkdwn[Upto150] | UnsetType = UNSET
    subtitle: Plain[Upto150] | Mrkdwn[Upto150] | UnsetType = UNSET
    body: Plain[Upto200] | Mrkdwn[Upto200] | UnsetType = UNSET
    actions: list[Button] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.hero_image is self.title is self.actions is self.body is UNSET:
            raise ValueError("must provide at least one of hero_image, title, actions, or body")


class Carousel(Block, frozen=True, kw_only=True, tag="carousel"):
    elements: Annotated[list[Card], Meta(min_length=1, max_length=10)]


class File(Block, frozen=True, kw_only=True, tag="file"):
    external_id: str
    source: Literal["remote"]


class Video(Block, frozen=True, kw_only=True, tag="video"):
    alt_text: str
    title: Plain[Upto200]
    thumbnail_url: Url
    video_url: Url
    title_url: Url | UnsetType = UNSET
    description: Plain[Upto200] | UnsetType = UNSET
    author_name: Annotated[str, Meta(max_length=50)] | UnsetType = UNSET
    provider_name: str | UnsetType = UNSET
    provider_icon_url: Url | UnsetType = UNSET


class Call(Block, frozen=True, kw_only=True, tag="call"):
    call_id: str
    api_decoration_available: bool | UnsetType = UNSET
    call: dict[str, Any] | UnsetType = UNSET


# The surfaces are those of https://docs.slack.dev/blocks.json.
Anywhere = Section | Divider | Header | ImageBlock | Actions | Context | InputBlock | RichText | Video | Card
MessageOnly = (
    Markdown | Table | DataTable | DataVisualization | TaskCard | Plan | ContextActions | File | Call | Carousel
)
# https://docs.slack.dev/reference/block-kit/blocks/container-block
InContainer = Section | Divider | Header | ImageBlock | Actions | Context | InputBlock | RichText | Video | Table | File


class Container(Block, frozen=True, kw_only=True, tag="container"):
    child_blocks: Annotated[list[InContainer], Meta(min_length=1, max_length=10)]
    title: Plain[Upto150] | UnsetType = UNSET
    rich_text_title: RichText | UnsetType = UNSET
    subtitle: Plain[Upto150] | Mrkdwn[Upto150] | UnsetType = UNSET
    width: Literal["narrow", "standard", "wide", "full"] | UnsetType = UNSET
    icon: Image | UnsetType = UNSET
    is_collapsible: bool | UnsetType = UNSET
    default_collapsed: bool | UnsetType = UNSET
    has_header_divider: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.title is UNSET and self.rich_text_title is UNSET:
            raise ValueError("must provide either title or rich_text_title")
        if self.is_collapsible is True and self.has_header_divider is True:
            raise ValueError("has_header_divider cannot be set when is_collapsible is true")


InMessage = Anywhere | MessageOnly | Container
InModal = Anywhere | Alert
InHome = Anywhere | Carousel
