"""The life of one deployment on one cloud: launch, scale down, down, with faults in each phase."""

from datetime import timedelta

from redis import Redis

from tests.builders.events import PLACE
from tests.builders.recipes import SCRIPTED
from tests.crash.mortal import Child
from tests.crash.worker import Worker
from workers.api import Deployments
from workers.clouds.gcp.instance import name_of
from workers.deployment.attempt import Phase
from workers.placement.limits import Limits

WANTED = {"launch": 2, "scale-down": 1, "down": 0}
STEP_AHEAD = timedelta(seconds=40)


class Life:
    """One deployment on one stand-in cloud, in an installation of its own."""

    def __init__(self, world, cloud, name, *, alone=False):
        self.cloud, self.name, self.alone = cloud, name, alone
        self.clouds = world
        self.environ = world.environ
        self.redis_url = world.redis_url
        self.installation = f"i-{name}"
        self.ahead = timedelta()
        self._redis = Redis.from_url(self.redis_url)
        self._redis.flushall()
        world.mend()
        self.requests = Deployments(self._redis, lambda _: None, {})
        self.id = None
        self.wanted = 0

    def ask(self, phase):
        self.wanted = WANTED[phase]
        if phase == "launch":
            self.id = self.requests.launch(
                SCRIPTED, name=self.name, replicas=2, place=PLACE, limits=Limits(), once=self.name
            )
        elif phase == "scale-down":
            self.requests.scale(self.id, 1, by="U")
        else:
            self.requests.stop(self.id, by="U")

    def start(self, point=None, *, leased=True, after=0.0):
        """A worker in a process of its own."""
        return Child(lambda: Worker(self, point, leased=leased).run(after=after, rounds=10))

    def pass_time(self):
        """Advance the clock until the leases of a dead worker have expired."""
        for key in self._redis.scan_iter("mixtral:lease:*"):
            self._redis.delete(key)
        self.ahead += STEP_AHEAD

    def mend(self, *, after=0.0):
        """A worker without faults, which runs until everything is settled and all delays have passed."""
        self.clouds.mend()
        self.pass_time()
        done = Child(lambda: Worker(self).run_on(after=after)).ended()
        self.ahead += timedelta(minutes=17)
        assert done is not None

    def check(self):
        """Check that the machines that run are the wanted ones. Returns the number of machines ever made."""
        running = self.clouds.running(self.cloud, self.installation)
        state = self.requests.by_id(self.id)
        known = {a.request.token: a for a in state.attempts}
        assert sorted(replica for _, replica, _ in running) == list(range(1, self.wanted + 1)) or (
            self.wanted == 1 and len(running) == 1
        ), f"{running} run, and {self.wanted} are wanted"
        assert {token for token, _, _ in running} == {a.request.token for a in state.live}
        assert all(known[token].phase is Phase.READY for token, _, _ in running)
        if self.cloud == "aws":
            assert all(known[token].machine.id == id_ for token, _, id_ in running)
        made = self.clouds.made(self.cloud, self.installation, self.id)
        assert set(made.values()) <= {1}, f"a token got two machines: {made}"
        tokens = {token if self.cloud == "aws" else name_of(token) for token in known}
        assert set(made) <= tokens, f"machines of no intent: {set(made) - tokens}"
        assert self.clouds.left(self.cloud, self.installation) == []
        assert len(self.clouds.doors(self.cloud, self.installation)) <= 1
        assert (state.ended is not None) == (self.wanted == 0)
        assert (self.requests.key(self.id) is None) == (self.wanted == 0)
        return len(made)
