"""What a machine's console comes to: read in whatever form a cloud gives it, whatever the engine prints."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.machines import BootPhase, BootReport, Token
from workers.serving import console
from workers.serving.console import Restarted, Said, again, line, mark_of, no_more, unmarked

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
MARK = mark_of(Token("d1-1-abcd"), "mxk_a-replica-s-key")


def read(text):
    return console.read(text, MARK)


def said(what):
    return line(MARK, what)


def test_the_last_thing_that_was_said_is_what_the_machine_is_busy_with():
    assert read(f"boot\n{said('pulling vllm/vllm-openai:v1')}layer 1\n").progress == "pulling vllm/vllm-openai:v1"
    assert read(f"{said('starting the recipe')}mixtral: running the recipe's setup\n").progress == (
        "running the recipe's setup"
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
    told = read(f"{before}{said('starting m')}\r\n{before}{said(again('m', 1, 4, NOON))}\r\n")
    assert told.restarted == Restarted(start=4, at=NOON, how="m exited with status 1")


def test_a_line_that_the_engine_left_unfinished_hides_nothing():
    told = read(f"{said('starting m')}loading: 47%| 9/19 [00:03<00:03, 2it/s]{said(no_more('m', 137, 3))}")
    assert told.gave_up == "m was killed by SIGKILL at each of its last 3 starts"
    assert read(f"mixtral[abc]: x{said(no_more('m', 1, 3))}").gave_up


def test_a_restart_is_known_by_its_number_long_after():
    ends = [again("m", 1, 1, NOON), again("m", 137, 2, NOON)]
    log = "".join(f"{said(end)}{said('starting m')}INFO\n" for end in ends)
    assert read(log) == Said(
        progress="starting m", restarted=Restarted(start=2, at=NOON, how="m was killed by SIGKILL")
    )


@pytest.mark.parametrize(
    ("status", "words"),
    [(137, "was killed by SIGKILL"), (139, "was killed by SIGSEGV"), (255, "exited with status 255")],
)
def test_a_signal_is_called_by_its_name(status, words):
    assert read(said(no_more("m", status, 3))).gave_up == f"m {words} at each of its last 3 starts"


def test_between_two_starts_it_says_so():
    told = read(f"{said('starting m')}{said(again('m', 1, 1, NOON))}")
    assert told.progress == "m exited with status 1; it is started again"


def test_a_machine_that_has_given_up_says_why_and_is_busy_with_nothing():
    told = read(f"{said('starting m')}RuntimeError: no\n{said(no_more('m', 1, 3))}")
    assert told.gave_up == "m exited with status 1 at each of its last 3 starts"
    assert told.progress == ""


def test_one_that_was_booted_again_since_has_not_given_up():
    assert read(f"{said(no_more('m', 1, 3))}{said('starting m')}").gave_up == ""


@pytest.mark.parametrize("what", [no_more("m", 1, 3), again("m", 1, 9, NOON), f"giving up: {'9' * 5000}"])
@pytest.mark.parametrize("mark", ["", "[]", "[0123456789ab]", f"[{MARK[:-1]}]"])
def test_who_does_not_know_the_mark_decides_nothing(mark, what):
    told = read(f"{said('starting m')}ERROR: no model a: mixtral{mark}: {what}\nmixtral{mark}: {what}\n")
    assert told.gave_up == ""
    assert told.restarted is None


@pytest.mark.parametrize("what", [f"m exited with status {'9' * 5000} at each of its last 3 starts", "x" * 10_000])
def test_a_number_that_is_none_is_no_harm(what):
    assert read(said(f"giving up: {what}")).gave_up == what
    assert read(said(f"m exited with status 1 at {'9' * 5000} (start 1), and is started again")).restarted is None


def test_each_machine_has_a_mark_of_its_own_and_it_is_shown_to_nobody():
    assert mark_of(Token("d1-2-abcd"), "mxk_a-replica-s-key") != MARK
    assert mark_of(Token("d1-1-abcd"), "mxk_another-key") != MARK
    log = f"[1.0] cloud-init[3]: {said('starting m')}INFO mixtral[x]: fine\n47%9{said('starting m')}"
    assert unmarked(log) == "[1.0] cloud-init[3]: mixtral: starting m\nINFO mixtral[x]: fine\n47%9mixtral: starting m\n"


def test_the_newest_phase_of_the_boot_is_known_with_its_bytes_and_what_was_said_in_it():
    pulling = f"{said('phase booting')}{said('waiting for the GPU driver')}{said('phase pulling')}{said('pulling v:1')}"
    assert read(pulling) == Said(progress="pulling v:1", boot=BootReport(phase=BootPhase.PULLING))
    counted = f"{pulling}layer 1\n{said('progress pulling 6100000000 9800000000')}"
    assert read(counted).boot == BootReport(phase=BootPhase.PULLING, done=6_100_000_000, total=9_800_000_000)
    assert read(counted).progress == "pulling v:1"
    assert read(f"{counted}{said('phase loading')}") == Said(boot=BootReport(phase=BootPhase.LOADING))


def test_a_phase_does_not_hide_that_the_machine_has_given_up():
    told = read(f"{said('phase pulling')}{said('giving up: v:1 cannot be pulled')}{said('progress pulling 1 2')}")
    assert told.gave_up == "v:1 cannot be pulled"
    assert read(f"{said('giving up: v:1 cannot be pulled')}{said('phase booting')}").gave_up == "", "it was rebooted"


@pytest.mark.parametrize(
    "what",
    [
        "phase flying",
        "phase loading quickly",
        "progress pulling 1",
        "progress pulling -1 5",
        "progress pulling nan 5",
        f"progress pulling 1 {'9' * 5000}",
    ],
)
def test_what_is_no_phase_is_only_shown(what):
    assert read(said(what)) == Said(progress=what)


@pytest.mark.parametrize("mark", ["", "[0123456789ab]"])
def test_a_phase_without_the_machine_s_mark_is_none(mark):
    assert read(f"mixtral{mark}: phase loading\n").boot is None


@pytest.mark.parametrize("phase", BootPhase)
def test_a_phase_that_is_written_is_read_again(phase):
    assert read(said(console.phase(phase))).boot == BootReport(phase=phase)
    assert read(said(console.progress(phase, 3, 0))).boot == BootReport(phase=phase, done=3)


@pytest.mark.parametrize(
    "text", ["mixtral-deadman: expired", "the model mixtral: big", "# mixtral: {}", "mixtral:", ""]
)
def test_what_others_say_is_no_progress(text):
    assert read(text) == Said()


@given(TEXT)
def test_any_text_can_be_read(text):
    assert read(text).progress == read(f"{text}\nnothing of ours").progress


@given(
    TEXT.filter(lambda t: t.strip() == t and t and len(t.splitlines()) == 1), st.integers(0, 255), st.integers(1, 99)
)
def test_what_is_said_is_read_again(what, status, number):
    assert read(said(again(what, status, number, NOON))).restarted.start == number
    assert read(said(no_more(what, status, number))).gave_up.endswith(f"its last {number} starts")
