"""Launches by the control loop on real drivers and a real Valkey, in this process; nothing probes the machines."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from redis import Redis

from recipes.loader import find, load
from tests.builders.events import PLACE
from workers.api import Deployments
from workers.clouds.driver import Driver, DriverError
from workers.control.advance import Advance
from workers.deployment.log import Log
from workers.deployment.state import Deployment
from workers.placement.ladder import Rung
from workers.placement.limits import Limits


def launched(
    redis: Redis,
    drivers: dict[str, Driver],
    rungs: Sequence[Rung],
    *,
    recipe: str = "mixtral-8x7b-skypilot",
    replicas: int = 1,
    give_up_after: float = 600.0,
) -> tuple[Deployment, float]:
    """One launch, until each replica has a machine or the ladder is dry. Returns the state and the seconds it took.

    `give_up_after`: seconds after which it raises.
    """
    redis.flushall()
    requests = Deployments(redis, lambda _: None, drivers)
    made = load(find(recipe), {})
    id_ = requests.launch(made, name="m", replicas=replicas, place=PLACE, limits=Limits(), once="m")
    advance = Advance(
        redis=redis,
        log=Log(redis),
        drivers=drivers,
        ladder=lambda *_: (rungs, ""),
        environ={"HF_TOKEN": "hf_of_a_test", "HF_HUB_OFFLINE": "1"},
        installation="i-test",
        machine_lease=timedelta(hours=24),
        control_lease=timedelta(seconds=10),
        clock=lambda: datetime.now(UTC),
    )
    began = time.monotonic()
    while time.monotonic() - began < give_up_after:
        try:
            advance(id_)
        except DriverError:
            time.sleep(0.5)  # the sweeper nudges again
        state = requests.by_id(id_)
        assert state is not None
        if state.exhausted or state.ended or sum(a.machine is not None for a in state.live) >= replicas:
            return state, time.monotonic() - began
    raise AssertionError(f"the launch has not settled after {give_up_after} s")
