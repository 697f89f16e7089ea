"""Builders of logs in Redis."""

from datetime import UTC, datetime
from itertools import groupby

from redis import Redis

from recipes.schema import Recipe
from tests.builders.events import KEY
from tests.builders.recipes import SCRIPTED
from tests.builders.story import Story
from workers.deployment.events import DeploymentEnded, DeploymentId, NewerEvent, Place, Requested, Version
from workers.deployment.keys import new_key
from workers.deployment.log import Log, new_id


def append(redis: Redis, story: Story, key: str = KEY) -> None:
    """Append those events of the story that its log lacks. `key`: the launcher's key, if this opens the log."""
    log = Log(redis)
    version = log.version(story.id)
    for _, group in groupby(story.events[version:], lambda event: isinstance(event, Requested | DeploymentEnded)):
        events = list(group)
        match events:
            case [Requested() as first]:
                log.open(story.id, first, key, f"once-{story.id}")
            case [DeploymentEnded() as last]:
                assert log.close(story.id, story.state.name, version, last)
            case _:
                assert log.append(story.id, version, events)
        version = Version(version + len(events))


class Logs:
    """Launches deployments of the scripted engine, and appends events at the current time."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def start(self, name: str, channel: str = "C0HERE", recipe: Recipe = SCRIPTED, user: str = "U1") -> DeploymentId:
        place = Place(team="T1", channel=channel, user=user)
        story = Story(name, recipe, id_=new_id(), at=datetime.now(UTC), place=place)
        append(self._redis, story, new_key())
        return story.id

    def put(
        self, name: str, url: str, channel: str = "C0HERE", recipe: Recipe = SCRIPTED, user: str = "U1"
    ) -> DeploymentId:
        """Launch a deployment that answers at `url`."""
        id_ = self.start(name, channel, recipe, user)
        self.append(self.story(id_).answers_at(url))
        return id_

    def story(self, id_: DeploymentId) -> Story:
        """The story of its log, to be continued and appended."""
        events = (event for event in Log(self._redis).read(id_) if not isinstance(event, NewerEvent))
        return Story(id_=id_, at=datetime.now(UTC), events=events)

    def append(self, story: Story) -> None:
        append(self._redis, story)
