"""Rich text: sections, lists, quotes and preformatted text, and their elements."""

from typing import Literal

from msgspec import UNSET, UnsetType

from bot.sandbox.block_kit.objects import Kit


class Style(Kit, frozen=True, kw_only=True):
    bold: bool | UnsetType = UNSET
    italic: bool | UnsetType = UNSET
    strike: bool | UnsetType = UNSET
    code: bool | UnsetType = UNSET
    underline: bool | UnsetType = UNSET
    highlight: bool | UnsetType = UNSET
    client_highlight: bool | UnsetType = UNSET
    unlink: bool | UnsetType = UNSET


class Piece(Kit, frozen=True, kw_only=True, tag_field="type"):
    style: Style | UnsetType = UNSET


class Text(Piece, frozen=True, kw_only=True, tag="text"):
    text: str


class Link(Piece, frozen=True, kw_only=True, tag="link"):
    url: str
    text: str | UnsetType = UNSET
    unsafe: bool | UnsetType = UNSET


class UserPiece(Piece, frozen=True, kw_only=True, tag="user"):
    user_id: str


class ChannelPiece(Piece, frozen=True, kw_only=True, tag="channel"):
    channel_id: str


class UserGroup(Piece, frozen=True, kw_only=True, tag="usergroup"):
    usergroup_id: str


class TeamPiece(Piece, frozen=True, kw_only=True, tag="team"):
    team_id: str


class Emoji(Piece, frozen=True, kw_only=True, tag="emoji"):
    name: str
    skin_tone: int | UnsetType = UNSET
    unicode: str | UnsetType = UNSET


class Date(Piece, frozen=True, kw_only=True, tag="date"):
    timestamp: int
    format: str
    url: str | UnsetType = UNSET
    fallback: str | UnsetType = UNSET


class Broadcast(Piece, frozen=True, kw_only=True, tag="broadcast"):
    range: Literal["here", "channel", "everyone"]


class Color(Piece, frozen=True, kw_only=True, tag="color"):
    value: str


AnyPiece = Text | Link | UserPiece | ChannelPiece | UserGroup | TeamPiece | Emoji | Date | Broadcast | Color


class RichSection(Kit, frozen=True, kw_only=True, tag_field="type", tag="rich_text_section"):
    elements: list[AnyPiece]


class RichPreformatted(Kit, frozen=True, kw_only=True, tag_field="type", tag="rich_text_preformatted"):
    elements: list[AnyPiece]
    border: int | UnsetType = UNSET
    language: str | UnsetType = UNSET


class RichQuote(Kit, frozen=True, kw_only=True, tag_field="type", tag="rich_text_quote"):
    elements: list[AnyPiece]
    border: int | UnsetType = UNSET


class RichList(Kit, frozen=True, kw_only=True, tag_field="type", tag="rich_text_list"):
    elements: list[RichSection]
    style: Literal["bullet", "ordered"]
    indent: int | UnsetType = UNSET
    offset: int | UnsetType = UNSET
    border: int | UnsetType = UNSET


AnyRich = RichSection | RichPreformatted | RichQuote | RichList
