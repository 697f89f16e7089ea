"""No secret that a cloud, a console or an engine quotes is in an event, on a card, in an answer or in a log line."""

import logging
from typing import get_args

import pytest

from bot.cli.masked_log import MaskedFormatter, secrets_of
from bot.commands.context import Caller
from bot.commands.settle import settle
from bot.prompting import engine_failures
from bot.views import status
from bot.views.card import card
from tests.contract.test_control_loop import LEASE, Loop, printed
from tests.fakes import gateway
from workers.clouds.driver import DriverError, Refused
from workers.deployment.events import AnyEvent
from workers.machines import Listing, Unlisted
from workers.placement.refusals import Scope
from workers.secrecy import masked
from workers.serving.console import again
from workers.serving.probe import CompletionFailed, TestAnswer
from workers.serving.unready import Unready


@pytest.fixture
def loop(redis, monkeypatch):
    return Loop(redis, monkeypatch)


QUOTED = ("hf_0123456789abcdefghij", "AKIA0123456789ABCDEF", "mxk_" + "a1" * 16, "a-token-of-the-hub")


def _refused(loop, _, said):
    loop.cloud.refuse = lambda _: Refused(said, code=f"X {said}", scope=Scope.ZONE)


def _not_created(loop, monkeypatch, said):
    monkeypatch.setattr(loop.cloud, "create", _raising(said))


def _cannot_be_called(name):
    def fails(loop, monkeypatch, said):
        loop.settle()
        monkeypatch.setattr(loop.cloud, name, _raising(said))
        if name == "terminate":
            loop.requests.stop(loop.requests.all()[0].id, by="U1")
        if name == "extend":
            loop.now += LEASE * 0.6

    return fails


def _not_listed(loop, monkeypatch, said):
    loop.settle()
    silent = lambda _, place="": Listing(unlisted=(Unlisted(place=place, why=said),))  # noqa: E731
    monkeypatch.setattr(loop.cloud, "owned", silent)


def _machine_died(loop, monkeypatch, said):
    loop.settle()
    monkeypatch.setattr(loop.cloud, "log", lambda *_: said)
    loop.cloud.end(loop.requests.all()[0].attempts[0].request.token, said)


def _machine_said(*lines):
    def prints(loop, _, said):
        loop.advance(loop.requests.all()[0].id)
        state = loop.requests.all()[0]
        token = state.attempts[0].request.token
        loop.probes[state.attempts[0].machine.address] = Unready(why="starting")
        printed(loop, state.id, token, *(one.replace("SAID", said) for one in lines))

    return prints


def _restarted(loop, monkeypatch, said):
    _machine_said(again(said, 3, 1, loop.now))(loop, monkeypatch, said)


def _probe_failed(loop, _, said):
    loop.advance(loop.requests.all()[0].id)
    loop.probes[loop.requests.all()[0].attempts[0].machine.address] = Unready(why=said)


def _was_ready(loop, _, said):
    loop.settle()
    loop.probes[loop.requests.all()[0].attempts[0].machine.address] = Unready(why=said)


def _tested(answer):
    def tests(loop, monkeypatch, said):
        monkeypatch.setattr("workers.control.advance.completion", lambda *_, **__: answer(said))
        loop.settle()
        gateway.route(loop.log, loop.requests.all()[0], loop.now)

    return tests


def _failing_test(said):
    raise CompletionFailed(said)


def _raising(said):
    def fails(*_, **__):
        raise DriverError(said)

    return fails


QUOTES = {
    "OfferRefused": _refused,
    "EngineProgressed": _not_created,
    "EngineProgressed, printed": _machine_said("SAID"),
    "ControlLost, end": _cannot_be_called("terminate"),
    "ControlLost, extend": _cannot_be_called("extend"),
    "ControlLost, list": _not_listed,
    "MachineGone": _machine_died,
    "EngineEnded": _restarted,
    "ProbeFailed": _probe_failed,
    "ReplicaNotReady": _was_ready,
    "TestCompletionAnswered": _tested(lambda said: TestAnswer(text=said, seconds=0.1)),
    "TestCompletionFailed": _tested(_failing_test),
}
"""How a cloud, a console or an engine writes into an event of each class."""

OF_THE_PRODUCT = {
    *("Autoscaled", "ClockHeld", "LadderPlanned", "LadderExhausted", "WeightsChecked", "ReplicasAbandoned"),
    *("ReplicaDraining", "ReplicaGivenUp", "DeploymentEnded"),
}
"""Their words are the product's own, or those of facts, which were masked before."""
WORDS = {"why", "how", "progress", "says", "text", "log_tail", "why_empty", "failed", "refusals"}


@pytest.mark.parametrize("case", QUOTES)
def test_a_secret_that_a_cloud_a_console_or_an_engine_quotes_is_in_no_event_and_no_card(loop, redis, monkeypatch, case):
    id_ = loop.launch(secrets=("HF_TOKEN",))
    own = loop.log.key(id_)
    QUOTES[case](loop, monkeypatch, f"it said {' '.join(QUOTED)} and {own}.")
    loop.settle(40, 30)
    told = [event for event in loop.log.read(id_) if type(event).__name__ == case.split(",")[0]]
    assert any("•••" in str(event) for event in told), "the case writes into this event"
    shown = str(card(loop.state(id_), loop.now)) + str(status.detail(loop.state(id_), loop.now))
    for secret in (*QUOTED, own):
        assert secret not in str(loop.log.read(id_))
        assert secret not in shown


def test_every_event_with_words_of_others_has_a_case():
    with_words = {kind.__name__ for kind in get_args(AnyEvent) if WORDS & set(kind.__struct_fields__)}
    assert with_words == {case.split(",")[0] for case in QUOTES} | OF_THE_PRODUCT


def test_an_error_that_a_person_reads_is_masked():
    quoted = " ".join(QUOTED[:3])
    caller = Caller(team="T1", channel="C1", user="U1", once="1.1")

    def fails():
        raise DriverError(f"GCP answers: {quoted}")

    assert settle("test", caller, fails).text.count("•••") == 3
    assert str(engine_failures.refusal("fast", 500, quoted.encode())).count("•••") == 3
    assert str(engine_failures.broke_off("fast", {"error": quoted})).count("•••") == 3


def test_the_log_of_a_process_masks_lines_and_tracebacks():
    formatter = MaskedFormatter(
        secrets_of({"MY_SECRET": "s3cret-of-mine", "KEY_FILE": "/etc/key.pem", "SHELL": "bash-5"})
    )
    error = DriverError("bash-5 /etc/key.pem")
    error.__cause__ = ValueError("s3cret-of-mine " + QUOTED[0])
    line = formatter.format(logging.LogRecord("x", logging.ERROR, "f", 1, "%s", QUOTED[1:2], (None, error, None)))
    assert line.count("•••") == 3
    assert "bash-5 /etc/key.pem" in line


@pytest.mark.parametrize(
    "text",
    [
        "redis://:pa55word@10.0.0.1:6379/0",
        "https://robin:pa55word@mirror.example/x",
        "aws_secret_access_key = wJalrXUtnFEMIK7MDENGbPxRfiCYpa55word",
        '"SecretAccessKey": "wJalrXUtnFEMIK7MDENGbPxRfiCYpa55word"',
        "https://b.s3.amazonaws.com/k?X-Amz-Signature=pa55word00ff&x=1",
        "-----BEGIN RSA PRIVATE KEY-----\npa55word\n-----END RSA PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1.eyJwYTU1d29yZCI6.pa55word",
    ],
)
def test_shapes_of_secrets(text):
    assert "pa55word" not in masked(text)
    assert "•••" in masked(text)


def test_addresses_without_a_password_are_kept():
    text = "http://127.0.0.1:8000/v1 at 10:30 https://hub.example/a@b and git@host:x"
    assert masked(text) == text
