"""Publishes the Home tab of people who open it, outside the pool that answers commands."""

import logging
import threading
from concurrent.futures import Executor

from redis.exceptions import RedisError

from bot.commands.context import CommandContext
from bot.commands.settle import new_incident
from bot.commands.visibility import Viewer
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackFailed
from bot.views import home as home_view

_LOG = logging.getLogger(__name__)


class HomeTab:
    """Safe to use from several threads. A tab that is opened again while it waits is published once."""

    def __init__(self, context: CommandContext, slack: SlackCalls, pool: Executor) -> None:
        """`pool`: a thread of it may wait for minutes, until Slack or its budget accepts the call."""
        self._context = context
        self._slack = slack
        self._pool = pool
        self._waiting: set[str] = set()
        self._lock = threading.Lock()

    def opened(self, viewer: Viewer) -> None:
        with self._lock:
            if viewer.user in self._waiting:
                return
            self._waiting.add(viewer.user)
        self._pool.submit(self._publish, viewer)

    def _publish(self, viewer: Viewer) -> None:
        try:
            self._slack.insist(lambda: self._slack.publish_home(viewer.user, self._view(viewer)))
        except (SlackFailed, RedisError) as error:
            _LOG.warning("The Home tab of %s could not be published: %s", viewer.user, error)
        except Exception as error:  # noqa: BLE001 - the pool would not log it
            new_incident(error)
        finally:
            with self._lock:
                self._waiting.discard(viewer.user)

    def _view(self, viewer: Viewer) -> dict[str, object]:
        """The newest state: a pause before the call may last minutes."""
        deployments = self._context.sight.of(viewer, self._context.deployments.all())
        return home_view.home(deployments, self._context.now(), viewer.user)
