"""What a machine's console comes to: read in whatever form a cloud gives it, whatever the engine prints."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.serving.console import Restarted, Said, again, no_more, read

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def test_the_last_thing_that_was_said_is_what_the_machine_is_busy_with():
    assert (
        read("boot\nmixtral: pulling vllm/vllm-openai:v1\nlayer 1\nlayer 2\n").progress == "pulling vllm/vllm-openai:v1"
    )


@pytest.mark.parametrize(
    "before",
    [
        "",
        "[   32.456789] cloud-init[1203]: ",
        "Nov 25 12:00:00 machine google_metadata_script_runner[1234]: startup-script: ",
        "Nov 25 12:00:00 machine startup-script: INFO startup-script: ",
    ],
    ids=["plain", "EC2", "GCE", "GCE of old"],
)
def test_what_a_cloud_puts_before_a_line_is_no_harm(before):
    said = read(f"{before}mixtral: starting m\r\n{before}{'mixtral: ' + again('m', 1, 4, NOON)}\r\n")
    assert said.restarted == Restarted(start=4, at=NOON, how="m exited with status 1")


def test_a_restart_is_known_by_its_number_long_after():
    ends = [again("m", 1, 1, NOON), again("m", 137, 2, NOON)]
    log = "".join(f"mixtral: {end}\nmixtral: starting m\nINFO\n" for end in ends)
    assert read(log) == Said(
        progress="starting m", restarted=Restarted(start=2, at=NOON, how="m was killed by SIGKILL")
    )


@pytest.mark.parametrize(
    ("status", "words"),
    [(137, "was killed by SIGKILL"), (139, "was killed by SIGSEGV"), (255, "exited with status 255")],
)
def test_a_signal_is_called_by_its_name(status, words):
    assert read(f"mixtral: {no_more('m', status, 3)}").gave_up == f"m {words} at each of its last 3 starts"


def test_between_two_starts_it_says_so():
    said = read(f"mixtral: starting m\nmixtral: {again('m', 1, 1, NOON)}\n")
    assert said.progress == "m exited with status 1; it is started again"


def test_a_machine_that_has_given_up_says_why_and_is_busy_with_nothing():
    said = read(f"mixtral: starting m\nRuntimeError: no\nmixtral: {no_more('m', 1, 3)}\n")
    assert said.gave_up == "m exited with status 1 at each of its last 3 starts"
    assert said.progress == ""


def test_one_that_was_booted_again_since_has_not_given_up():
    assert read(f"mixtral: {no_more('m', 1, 3)}\nmixtral: starting m\n").gave_up == ""


@pytest.mark.parametrize(
    "line", ["mixtral-deadman: expired", "the model mixtral: big", "# mixtral: {}", "mixtral:", ""]
)
def test_what_others_say_is_no_progress(line):
    assert read(line) == Said()


@given(TEXT)
def test_any_text_can_be_read(text):
    assert read(text).progress == read(f"{text}\nnothing of ours").progress


@given(
    TEXT.filter(lambda t: t.strip() == t and t and len(t.splitlines()) == 1), st.integers(0, 255), st.integers(1, 99)
)
def test_what_is_said_is_read_again(what, status, number):
    assert read(f"mixtral: {again(what, status, number, NOON)}\n").restarted.start == number
    assert read(f"mixtral: {no_more(what, status, number)}\n").gave_up.endswith(f"its last {number} starts")
