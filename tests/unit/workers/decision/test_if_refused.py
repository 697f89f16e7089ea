"""The request that is expected after a refusal is the one that is decided when the refusal has come."""

from tests.builders.offers import offer
from tests.builders.story import Timeline
from workers.decision.if_refused import if_refused
from workers.decision.next_step import LaunchReplica
from workers.placement.refusals import Scope

RUNGS = tuple(offer(f"r{n}-a", region=f"r{n}") for n in range(1, 4))
TOGETHER = tuple((rung,) for rung in RUNGS)


def expected(story):
    return if_refused(story.state, story.state.attempts[-1], story.now, {})


def test_it_is_the_step_that_follows_when_the_refusal_has_come():
    story = Timeline().planned(*RUNGS).asked(RUNGS[0])
    foreseen = expected(story)
    assert foreseen == LaunchReplica(attempt=2, replica=1, offers=TOGETHER[1])
    assert story.refused().step == foreseen


def test_earlier_refusals_are_left_out():
    story = Timeline().planned(*RUNGS).asked().refused().asked(RUNGS[1])
    assert expected(story) == LaunchReplica(attempt=3, replica=1, offers=RUNGS[2:])


def test_nothing_follows_on_the_last_rung():
    assert expected(Timeline().planned(RUNGS[0]).asked()) is None


def test_nothing_follows_while_another_replica_is_still_to_be_requested():
    """Its request is made first, and its answer is not known."""
    story = Timeline(replicas=2).planned(*RUNGS).asked().asked(RUNGS[0])
    assert expected(story) is None


def test_a_refusal_that_rules_out_more_leads_elsewhere():
    """The expectation is wrong then, and costs the template that was made for it."""
    story = Timeline().planned(*RUNGS).asked()
    foreseen = expected(story)
    assert story.refused(scope=Scope.CLOUD, code="AuthFailure").step != foreseen
