"""Failures on request are counted down and matched by method."""

import msgspec
import pytest

from bot.sandbox.faults import Fault, Faults, Kind


def test_a_fault_happens_as_often_as_it_was_asked_for():
    faults = Faults()
    faults.arm(Fault(kind=Kind.HTTP_500, method="chat.*", count=2))
    assert faults.take("views.open", Kind.HTTP_500) is None
    assert faults.take("chat.update", Kind.DELAY) is None
    assert faults.take("chat.update", Kind.HTTP_500, Kind.REFUSE).kind is Kind.HTTP_500
    assert faults.take("chat.postMessage", Kind.HTTP_500) is not None
    assert faults.take("chat.update", Kind.HTTP_500) is None


def test_faults_can_be_taken_back():
    faults = Faults()
    faults.arm(Fault(kind=Kind.REFUSE, count=9))
    faults.clear()
    assert faults.take("chat.update", Kind.REFUSE) is None


def test_an_unknown_kind_is_refused():
    with pytest.raises(msgspec.ValidationError, match="earthquake"):
        msgspec.convert({"kind": "earthquake"}, Fault)
