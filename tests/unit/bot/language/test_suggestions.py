"""What is suggested is a command that means the same."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.language.command import QUESTION_WORDS, SLASH, Launch, Plan
from bot.language.grammar import parse
from bot.language.suggestions import command_text
from recipes.hidden import hidden
from workers.placement.limits import Limits

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
COMPOSED = "<>&`\u201c\u201d\u201e\u00ab\u00bb\u2018\u2019\u201a\u2013\u2014"
"""Slack's composer makes these of what was typed: they stand in no value of a command that was read."""
VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=COMPOSED))
LIMITS = st.builds(
    Limits,
    spot=st.booleans(),
    gpus=st.lists(st.sampled_from(["A100:8", "A100-80GB:2", "H100"]), unique=True).map(tuple),
    clouds=st.lists(st.sampled_from(["aws", "gcp", "local"]), unique=True).map(tuple),
    max_price=st.none() | st.decimals("0.01", "9999", places=2),
)
ENDS = (st.times() | st.datetimes(min_value=datetime(2026, 1, 1))).map(  # noqa: DTZ001 - as a person types it
    lambda at: at.replace(second=0, microsecond=0)
)
ENVS = st.dictionaries(
    st.sampled_from(["GREETING", "LANG", "PLACE"]), VALUES.filter(lambda v: " ".join(v.split()) == v and not hidden(v))
)


@given(
    st.builds(
        Launch,
        recipe=st.none() | NAMES.filter(lambda n: n != "as"),
        name=st.none() | NAMES.filter(lambda n: n not in QUESTION_WORDS),
        replicas=st.none() | st.integers(1, 50),
        env=ENVS,
        limits=LIMITS,
    )
    | st.builds(Launch, lasts=st.integers(30, 129_600).map(lambda minutes: timedelta(minutes=minutes)))
    | st.builds(Launch, until=ENDS)
    | st.builds(Plan, recipe=st.none() | NAMES, limits=LIMITS)
)
def test_what_is_written_is_read_again(command):
    read = parse(command_text(command).removeprefix(SLASH))
    assert type(read) is type(command)
    assert read.limits.max_price == command.limits.max_price
    if command.limits.gpus == read.limits.gpus:  # H100 is command_text H100:1
        assert read == command


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (Launch(), "/mixtral launch"),
        (Plan(recipe="a", limits=Limits(clouds=("aws", "gcp"))), "/mixtral plan a --clouds aws,gcp"),
        (Launch(name="b", env={"REGION": "…"}), "/mixtral launch as b --env REGION=…"),
        (
            Launch(env={"HUB": "hf_abcdefghijklmnopqrstuvwxyz0123456789", "A": "b"}),
            "/mixtral launch --env HUB=… --env A=b",
        ),
        (Launch(env={"A": "two  blanks", "B": "`x`"}), "/mixtral launch --env A=… --env B=…"),
        (Launch(replicas=3, limits=Limits(max_price=Decimal("1E+1"))), "/mixtral launch --replicas 3 --max-price 10"),
    ],
)
def test_it_is_short_and_plain(command, text):
    assert command_text(command) == text
