"""Logs in Redis."""

from redis import Redis

from tests.builders.events import KEY
from tests.builders.story import Story
from workers.deployment.events import DeploymentEnded, Requested, Version
from workers.deployment.log import Log


def append(redis: Redis, story: Story) -> None:
    """Append those events of the story that its log lacks."""
    log = Log(redis)
    for version in range(log.version(story.id), len(story.events)):
        event = story.events[version]
        match event:
            case Requested():
                log.open(story.id, event, KEY, f"once-{story.id}")
            case DeploymentEnded():
                log.close(story.id, story.state.name, Version(version), event)
            case _:
                log.append(story.id, Version(version), [event])
