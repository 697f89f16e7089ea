"""Publishes the Home tab of people who open it, and again when what it shows has changed."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace
from redis.exceptions import RedisError
from slack_bolt import App, BoltContext

from bot.admission import OUTSIDE
from bot.commands.budget_check import of_viewer
from bot.commands.context import CommandContext
from bot.commands.cost_handler import seen_by
from bot.commands.settle import new_incident, record
from bot.commands.visibility import Viewer
from bot.screens.presses import caller_of
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackAway, SlackBusy, SlackFailed
from bot.slack.message import JSON
from bot.slack.slack_steps import Steps, insisting
from bot.views import home as home_view
from bot.views.home import HomeContent
from bot.views.spending import month_start
from workers.decision.end_time import ends_at
from workers.deployment.audit import AuditEntry
from workers.deployment.condition import condition_of
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment

_LOG = logging.getLogger(__name__)

SHOWN_FOR = timedelta(minutes=10)
"""Time after a person has opened the tab or pressed a button on it during which it is kept up to date."""

COMPARED_EVERY = timedelta(seconds=3)
"""Interval between two comparisons of the open tabs with the deployments."""

VIEWERS = 200
"""Maximum number of tabs that are kept up to date. The one that was opened first is dropped."""

LEFT_TO_OTHERS = 10
"""Number of calls in the budget that are reserved for tabs that are opened."""

ENDS_SHOWN_FOR = timedelta(days=7)

Mark = tuple[tuple[DeploymentId, str, int, int, str, datetime | None], ...]
"""What of the deployments has to be up to date on an open tab."""


class HomeTab:
    """Safe to use from several threads. A tab that is opened again while it waits is published once."""

    def __init__(
        self,
        context: CommandContext,
        slack: SlackCalls,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._slack = slack
        self._clock = clock
        self._waiting: set[str] = set()
        self._seen: dict[str, tuple[float, Viewer]] = {}
        self._marks: dict[str, Mark] = {}
        self._lock = threading.Lock()

    def register(self, app: App) -> None:
        """Register after admission."""
        app.middleware(self._notice)
        app.event("app_home_opened")(self._on_opened)

    def _on_opened(self, event: JSON, context: BoltContext) -> None:
        if (event.get("tab") or "home") == "home":
            self.opened(Viewer(user=event["user"], outside=bool(context.get(OUTSIDE))))
            opened = AuditEntry(at=self._context.now(), who=event["user"], what="open the Home tab")
            record(self._context.audit, opened, once=f"home:{event['user']}:{event.get('event_ts')}")

    def _notice(self, body: JSON, context: BoltContext, next_: Callable[[], None]) -> None:
        """Keep the tab of a person up to date who presses a button on it."""
        if (body.get("view") or {}).get("type") == "home":
            self._remember(replace(caller_of(body, context).viewer, channel=""))
        next_()

    def opened(self, viewer: Viewer) -> None:
        self._remember(viewer)
        with self._lock:
            if viewer.user in self._waiting:
                return
            self._waiting.add(viewer.user)
        self._slack.outbox.put(viewer.user, self._publish(viewer))

    def keep_fresh(self, stop: threading.Event) -> None:
        """Compare the open tabs with the deployments until `stop` is set."""
        while not stop.wait(COMPARED_EVERY.total_seconds()):
            try:
                self.refresh()
            except RedisError as error:
                _LOG.warning("Home tabs cannot be kept up to date: %s", error)
            except Exception as error:  # noqa: BLE001 - without this thread, open tabs are outdated
                new_incident(error)

    def refresh(self) -> None:
        """Publish the tabs whose deployments have changed, as far as Slack's budget allows; the others later."""
        if not (viewers := self._viewers()):
            return
        everything = self._context.deployments.all()
        for viewer in viewers:
            if _mark(self._context.sight.of(viewer, everything)) == self._marks.get(viewer.user):
                continue
            try:
                self._slack.publish_home(viewer.user, self._view(viewer), leave=LEFT_TO_OTHERS)
            except (SlackBusy, SlackAway):
                self._forget_mark(viewer)
                return
            except SlackFailed as failed:
                _LOG.info("The Home tab of %s could not be kept up to date: %s", viewer.user, failed)

    def _viewers(self) -> list[Viewer]:
        """The people who may look at their tab now, and whose tab is not about to be published."""
        oldest = self._clock() - SHOWN_FOR.total_seconds()
        with self._lock:
            self._seen = {user: found for user, found in self._seen.items() if found[0] >= oldest}
            self._marks = {user: mark for user, mark in self._marks.items() if user in self._seen}
            return [viewer for user, (_, viewer) in self._seen.items() if user not in self._waiting]

    def _remember(self, viewer: Viewer) -> None:
        with self._lock:
            self._seen.pop(viewer.user, None)
            self._seen[viewer.user] = self._clock(), viewer
            while len(self._seen) > VIEWERS:
                del self._seen[next(iter(self._seen))]

    def _forget_mark(self, viewer: Viewer) -> None:
        with self._lock:
            self._marks.pop(viewer.user, None)

    def _publish(self, viewer: Viewer) -> Steps[None]:
        try:
            yield from insisting(lambda: self._slack.publish_home(viewer.user, self._view(viewer)))
        except (SlackFailed, RedisError) as error:
            _LOG.warning("The Home tab of %s could not be published: %s", viewer.user, error)
            self._forget_mark(viewer)
        except Exception as error:  # noqa: BLE001 - the pool would not log it
            new_incident(error)
        finally:
            with self._lock:
                self._waiting.discard(viewer.user)

    def _view(self, viewer: Viewer) -> JSON:
        """The newest state: a pause before the call may last minutes."""
        house = self._house(viewer)
        with self._lock:
            self._marks[viewer.user] = _mark(house.running)
        return home_view.home(house, self._context.now())

    def _house(self, viewer: Viewer) -> HomeContent:
        deployments, sight, now = self._context.deployments, self._context.sight, self._context.now()
        zone = sight.zone(viewer.user)
        book = deployments.book()
        uses = book.used(month_start(now, zone), now)
        running = sight.of(viewer, deployments.all())
        ended = sight.of(viewer, deployments.ended(now - ENDS_SHOWN_FOR))
        house = HomeContent(
            user=viewer.user,
            running=tuple(running),
            ended=tuple(ended),
            uses=tuple(seen_by(viewer, uses, (*running, *ended), self._context)),
            # Without their logs, the people who may see deployments are not known.
            lost=0 if viewer.outside else len(deployments.lost()),
            budgets=tuple(of_viewer(viewer, self._context, book)),
            zone=zone,
            policy_fault=self._context.policy_fault() if viewer.user in self._context.admins else "",
        )
        rows = (state.id for state in home_view.rows_of(house))
        links = {id_: link for id_ in rows if (link := self._context.channels.card_link(id_)) is not None}
        return replace(house, links=links)


def _mark(states: Sequence[Deployment]) -> Mark:
    return tuple(
        (
            *(state.id, condition_of(state).status.value, len(state.ready), state.wanted, str(state.usd_per_hour)),
            ends_at(state),
        )
        for state in states
    )
