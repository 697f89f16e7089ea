from datetime import timedelta

import pytest

from bot.views.card import card
from bot.views.launch_times import LaunchTime, launch_time, usual
from tests.builders.offers import offer
from tests.builders.recipes import MIXTRAL
from tests.builders.story import Story
from tests.unit.bot.views.test_card import texts
from workers.deployment.events import DeploymentId

TO = "\N{EN DASH}"


def times(*minutes, cloud="gcp"):
    return [
        LaunchTime(deployment=DeploymentId(f"d{n}{cloud}"), cloud=cloud, seconds=60 * m) for n, m in enumerate(minutes)
    ]


def asking(cloud="gcp"):
    taken = offer(f"{cloud} r-a", 5)
    return Story("mixtral", MIXTRAL).planned(taken).asked(taken)


def test_a_launch_takes_from_the_machine_to_the_first_ready_replica():
    story = asking().wait(200).refused("no capacity").asked(offer("gcp r-b")).wait(30).created()
    assert launch_time(story.state) is None
    story.wait(420).ready().wait(600).asked().created().wait(60).ready()
    time = launch_time(story.state)
    assert (time.deployment, time.cloud, time.seconds) == (story.id, "gcp", 420.0)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (times(6, 7.4, 9), f"Usually ready 6{TO}9 min after a machine is found (3 launches)."),
        (times(6, 6, 7, 8, 55), f"Usually ready 6{TO}8 min after a machine is found (5 launches)."),
        (times(7, 7, 7.2), "Usually ready 7 min after a machine is found (3 launches)."),
        (times(0.5, 0.6, 1), f"Usually ready 30{TO}60 s after a machine is found (3 launches)."),
        (times(6, 7), ""),
        ([], ""),
        ([*times(6, 7), *times(10, cloud="aws")], f"Usually ready 6{TO}10 min after a machine is found (3 launches)."),
        ([*times(6, 7), *times(0.1, cloud="local")], ""),
    ],
)
def test_the_usual_time_is_that_of_the_cloud_or_of_all_clouds_if_there_are_enough(known, said):
    assert usual(asking().state, known) == said


def test_here_only_launches_here_count():
    story = Story().planned().asked()
    assert usual(story.state, times(6, 7, 8)) == ""
    assert usual(story.state, times(0.1, 0.1, 0.1, cloud="local")).startswith("Usually ready 6 s")


def test_the_usual_time_stands_on_the_card_until_it_is_ready():
    said = "Usually ready 6 min after a machine is found (3 launches)."
    story = asking().wait(2)
    assert said in texts(card(story.state, story.now, said))
    story.created().wait(60)
    assert said in texts(card(story.state, story.now, said))
    story.wait(300).ready().published()
    assert said not in texts(card(story.state, story.now + timedelta(seconds=1), said))
