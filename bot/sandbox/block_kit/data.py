"""Blocks that show data: rich text, tables and charts."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from bot.sandbox.block_kit.objects import Block, Kit, Line
from bot.sandbox.block_kit.rich_text import AnyRich

Label = Annotated[str, Meta(min_length=1, max_length=20)]
Upto50 = Annotated[str, Meta(min_length=1, max_length=50)]


class RichText(Block, frozen=True, kw_only=True, tag="rich_text"):
    elements: list[AnyRich]


class RawText(Kit, frozen=True, kw_only=True, tag_field="type", tag="raw_text"):
    text: Line


class RawNumber(Kit, frozen=True, kw_only=True, tag_field="type", tag="raw_number"):
    value: int | float
    text: Line


class ColumnSettings(Kit, frozen=True, kw_only=True):
    align: Literal["left", "center", "right"] | UnsetType = UNSET
    is_wrapped: bool | UnsetType = UNSET


class Table(Block, frozen=True, kw_only=True, tag="table"):
    rows: Annotated[
        list[Annotated[list[RawText | RawNumber | RichText], Meta(min_length=1, max_length=20)]],
        Meta(min_length=1, max_length=100),
    ]
    column_settings: Annotated[list[ColumnSettings | None], Meta(max_length=20)] | UnsetType = UNSET


Cells = Annotated[list[RawText | RawNumber | RichText], Meta(min_length=1, max_length=20)]


class DataTable(Block, frozen=True, kw_only=True, tag="data_table"):
    """A header and 1 to 100 rows, each with as many cells; the header's are plain."""

    caption: Line
    rows: Annotated[list[Cells], Meta(min_length=2, max_length=101)]
    page_size: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET
    row_header_column_index: Annotated[int, Meta(ge=0)] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if any(len(row) != len(self.rows[0]) for row in self.rows):
            raise ValueError("rows must have the same number of cells")
        if any(isinstance(cell, RichText) for cell in self.rows[0]):
            raise ValueError("the header row cannot contain rich_text")
        if self.row_header_column_index is not UNSET and self.row_header_column_index >= len(self.rows[0]):
            raise ValueError("row_header_column_index must be the index of a column")


class Point(Kit, frozen=True, kw_only=True):
    label: Label
    value: int | float


class Segment(Kit, frozen=True, kw_only=True):
    label: Label
    value: Annotated[int, Meta(gt=0)] | Annotated[float, Meta(gt=0)]


class Pie(Kit, frozen=True, kw_only=True, tag_field="type", tag="pie"):
    segments: Annotated[list[Segment], Meta(min_length=1, max_length=12)]


class Series(Kit, frozen=True, kw_only=True):
    name: Label
    data: Annotated[list[Point], Meta(min_length=1, max_length=20)]


class AxisConfig(Kit, frozen=True, kw_only=True):
    categories: Annotated[list[Label], Meta(min_length=1, max_length=20)]
    x_label: Upto50 | UnsetType = UNSET
    y_label: Upto50 | UnsetType = UNSET


class _SeriesChart(Kit, frozen=True, kw_only=True, tag_field="type"):
    series: Annotated[list[Series], Meta(min_length=1, max_length=12)]
    axis_config: AxisConfig

    def __post_init__(self) -> None:
        if len({series.name for series in self.series}) < len(self.series):
            raise ValueError("series must have unique names")
        for series in self.series:
            if sorted(point.label for point in series.data) != sorted(self.axis_config.categories):
                raise ValueError("series must have one data point for each of the categories")


class LineChart(_SeriesChart, frozen=True, kw_only=True, tag="line"):
    pass


class Bar(_SeriesChart, frozen=True, kw_only=True, tag="bar"):
    pass


class Area(_SeriesChart, frozen=True, kw_only=True, tag="area"):
    pass


class DataVisualization(Block, frozen=True, kw_only=True, tag="data_visualization"):
    title: Upto50
    chart: Pie | LineChart | Bar | Area
