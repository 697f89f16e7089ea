"""Deployments in any state, told event by event: `Story().served().state`."""

from redis import Redis

from tests.gallery import climbing, failed, in_the_cloud, offers, rungs, two
from tests.story import BEGIN, HERE, MIXTRAL, SMOLLM2, Story, offer
from workers.deployment.events import DeploymentEnded, Requested, Version
from workers.deployment.log import Log

__all__ = [
    "BEGIN",
    "HERE",
    "MIXTRAL",
    "SMOLLM2",
    "Story",
    "append",
    "climbing",
    "failed",
    "in_the_cloud",
    "offer",
    "offers",
    "rungs",
    "two",
]

KEY = "mxk_ExampleExampleExampleExample1234"


def append(redis: Redis, story: Story) -> None:
    """Bring the log in Redis up to where the story is, as workers would."""
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
