"""What a failed probe means, by all that is known of a replica."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.builders.story import Story
from workers.decision.load import STALE
from workers.decision.verdict import (
    FLOWS_WITHIN,
    NO_EVIDENCE,
    BecameNotReady,
    Busy,
    Evidence,
    Unchanged,
    evidence_of,
    streaming,
    verdict_on_probe,
)
from workers.deployment.loads import Load, ReplicaLoad
from workers.serving.unready import Unready

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SILENT = Unready(why="no answer within 15 s", silent=True)
REFUSED = Unready(why="status 500: out of memory")
READY = Story("m", at=NOON).answers_at("http://127.0.0.1:1").state.attempts[0]
FLOWS = Evidence(checked=True, idle=SECOND)


@pytest.mark.parametrize(
    ("evidence", "busy"),
    [
        (FLOWS, True),
        (Evidence(checked=True, idle=FLOWS_WITHIN), True),
        (Evidence(checked=True, idle=FLOWS_WITHIN + SECOND), False),
        (Evidence(checked=True), False),
        (Evidence(checked=False, idle=SECOND), False),
        (Evidence(checked=True, computing=True), True),
        (Evidence(computing=True), True),
        (Evidence(checked=False, computing=True), False),
        (NO_EVIDENCE, False),
    ],
)
def test_a_silent_probe_is_no_failure_while_the_check_passes_and_tokens_flow(evidence, busy):
    verdict = verdict_on_probe(READY, SILENT, evidence, since=NOON)
    assert verdict == (Busy() if busy else BecameNotReady(SILENT.why, NOON))


def test_a_replica_that_answers_its_probe_with_an_error_fails_it_whatever_flows():
    assert verdict_on_probe(READY, REFUSED, FLOWS, since=NOON) == BecameNotReady(REFUSED.why, NOON)


def test_a_replica_that_was_not_ready_does_not_become_so_by_flowing_tokens():
    failing = Story("m", at=NOON).answers_at("http://127.0.0.1:1").not_ready().state.attempts[0]
    assert verdict_on_probe(failing, SILENT, FLOWS) == Unchanged()


def load(**replica):
    return Load(at=NOON, qps=0.0, replicas={3: ReplicaLoad(**{"up": True, "requests": 2, "idle": 1.5, **replica})})


def test_the_gateway_s_view_of_a_replica_is_evidence_until_it_is_old():
    assert evidence_of(load(), 3, NOON) == Evidence(checked=True, idle=timedelta(seconds=1.5))
    later = evidence_of(load(), 3, NOON + 9 * SECOND)
    assert later == Evidence(checked=True, idle=timedelta(seconds=10.5)), "nothing is known of the time since"
    assert not later.works
    assert evidence_of(load(), 3, NOON + STALE + SECOND) == NO_EVIDENCE
    assert evidence_of(load(), 4, NOON) == evidence_of(None, 3, NOON) == NO_EVIDENCE
    assert evidence_of(load(idle=None), 3, NOON, computing=True) == Evidence(checked=True, computing=True)


def test_who_answers_requests_is_known_until_the_view_is_old():
    assert streaming(load(), NOON) == {3}
    assert streaming(load(requests=0), NOON) == streaming(None, NOON) == frozenset()
    assert streaming(load(), NOON + STALE + SECOND) == frozenset()
