from datetime import timedelta

import pytest
from msgspec.structs import replace

from tests.builders.attempts import attempt
from tests.builders.events import BEGIN
from tests.builders.offers import offer
from tests.builders.story import Story
from workers.deployment.attempt import Phase
from workers.deployment.events import FIRST_KEY, DeploymentId, KeyId
from workers.deployment.keys import Secrets
from workers.deployment.state import Key
from workers.gateway.routes import table_of
from workers.gateway.table import ReplicaServer
from workers.policy.key_limits import AT_ONCE_PER_REPLICA, KeyLimits


def deployment(*attempts, keys=(FIRST_KEY,), **more):
    known = tuple(Key(id=id_, user="U", issued_at=BEGIN) for id_ in keys)
    return replace(Story(id_="d").state, attempts=attempts, keys=known, **more)


def replica(phase, number=3):
    return replace(attempt(number, offer(), phase, age=timedelta(hours=1)), address="http://10.0.0.1:8000")


SECRETS = Secrets(replica="own", bot="bots", people={FIRST_KEY: "first", KeyId("k-2"): "second"})


def table(state):
    return table_of([state], {DeploymentId("d"): SECRETS}).routes


@pytest.mark.parametrize(
    ("phase", "state"), [(Phase.READY, "ready"), (Phase.NOT_READY, "drain"), (Phase.DRAINING, "drain")]
)
def test_a_replica_takes_requests_by_its_phase(phase, state):
    (route,) = table(deployment(replica(phase)))
    assert route.servers == (ReplicaServer(name="r3", address="10.0.0.1:8000", state=state),)


@pytest.mark.parametrize("phase", sorted(set(Phase) - {Phase.READY, Phase.NOT_READY, Phase.DRAINING}))
def test_a_replica_that_is_on_its_way_or_gone_has_no_server(phase):
    (route,) = table(deployment(replica(phase)))
    assert route.servers == ()


def test_a_deployment_without_replicas_keeps_its_route_so_that_its_requests_are_held():
    (route,) = table(deployment())
    assert (route.deployment, route.replica_key) == ("d", "own")


def test_a_key_that_the_log_revoked_opens_nothing_though_it_is_still_stored():
    (route,) = table(deployment(keys=[FIRST_KEY]))
    assert route.keys == {"bots", "first"}


def test_a_deployment_that_is_to_end_has_no_route():
    assert table(deployment(stopped_by="U")) == ()


def test_a_deployment_whose_secrets_are_not_known_has_no_route():
    assert table_of([deployment()], {}).routes == ()


def test_the_keys_of_people_have_limits_and_the_key_of_the_bot_has_none():
    limits = KeyLimits(requests_per_minute=60)
    state = deployment(replica(Phase.READY), replica(Phase.READY, 4), replica(Phase.DRAINING, 5))
    (route,) = table_of([state], {DeploymentId("d"): SECRETS}, limits).routes
    assert route.ids == {"first": FIRST_KEY}
    assert route.limits == {"requests_per_minute": 60, "at_once": 2 * AT_ONCE_PER_REPLICA}
