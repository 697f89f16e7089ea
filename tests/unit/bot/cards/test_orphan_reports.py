"""When a machine without a deployment is reported again."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from bot.cards.orphan_reports import KEPT_FOR, OrphanReports, reported
from bot.slack.failures import SlackRefused
from workers.deployment.orphans import Orphan

ADA = "U0ADA"


class Place:
    """An admin in Slack, the machines that run without a deployment, and the time."""

    def __init__(self, redis):
        self.redis, self.now, self.there, self.told, self.refuses = redis, datetime.now(UTC), [], [], False
        slack: Any = self
        self.reports = OrphanReports(self, slack, redis, admins={ADA}, clock=lambda: self.now)

    def orphans(self):
        return self.there

    def open_direct(self, user):
        return "D0"

    def post(self, channel, message, *, metadata=None):
        if self.refuses:
            raise SlackRefused("user_disabled", known=True)
        self.told.append(message.text)
        return f"{self.now.timestamp():.6f}"

    def runs(self, id_):
        self.there.append(
            Orphan(
                id=id_,
                cloud="aws",
                place="us-east-1",
                instance_type="g5.xlarge",
                usd_per_hour=Decimal(1),
                deployment="d1",
                created_at=self.now,
                seen_at=self.now,
            )
        )

    def looks(self, **later):
        """How many reports the admin gets."""
        self.now += timedelta(**later)
        before = len(self.told)
        self.reports.look()
        return len(self.told) - before


@pytest.fixture
def place(redis):
    return Place(redis)


def test_a_machine_is_reported_again_after_a_week_although_others_are_reported_meanwhile(place):
    place.runs("i-1")
    assert place.looks() == 1
    assert place.looks(days=5) == 0
    place.runs("i-2")
    assert place.looks() == 1
    assert place.looks(days=1) == 0
    assert place.looks(days=1, seconds=1) == 1, "i-1"
    assert place.looks(days=1) == 0
    assert place.looks(days=4) == 1, "i-2"
    assert place.looks() == 0


def test_what_an_admin_cannot_be_told_is_tried_again_after_a_week(place):
    place.refuses = True
    place.runs("i-1")
    assert place.looks() == 0
    place.refuses = False
    assert place.looks(days=6) == 0
    assert place.looks(days=1, seconds=1) == 1


def test_a_refusal_that_an_earlier_version_noted_without_its_time_is_tried_again(place):
    place.runs("i-1")
    place.redis.hset(reported(ADA), place.there[0].key, "refused")
    assert place.looks() == 1
    assert place.looks() == 0


def test_nothing_stays_of_a_machine_that_ended_long_ago(place):
    place.runs("i-1")
    place.looks()
    for number in range(2, 6):
        place.there.clear()
        place.runs(f"i-{number}")
        assert place.looks(days=5) == 1
    assert place.redis.hlen(reported(ADA)) == 2
    assert 0 < place.redis.ttl(reported(ADA)) <= KEPT_FOR.total_seconds()
