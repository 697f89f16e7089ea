"""Launch one small model on a real cloud, ask it once, end it, and print what it cost.

`python -m tests.live.clouds aws`. Needs the cloud's credentials, and no Slack and no Redis. Everything that it starts
it ends, also after Ctrl-C. If this process is killed, the machine ends itself at its expiry; the same command with
`--end` ends it earlier.
"""

import argparse
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import FrameType

import httpx
from redis import Redis
from redis.exceptions import RedisError
from rich.console import Console

from bot.cli import check_command
from bot.cli.concurrent import ask
from recipes.loader import load
from recipes.schema import Recipe
from tests.replay import in_words
from workers import settings
from workers.api import Deployments
from workers.clouds.admitted import admitted
from workers.clouds.cidrs import CIDRS, CidrsError
from workers.clouds.egress import on_egress, outside_address
from workers.clouds.findings import Finding
from workers.clouds.needs import needs
from workers.deployment.events import DeploymentId, Place
from workers.deployment.log import Log
from workers.deployment.state import Deployment
from workers.errors import WorkersError
from workers.machines import Listing, Presence, whereabouts
from workers.placement.in_use import in_use
from workers.placement.limits import Limits
from workers.processes import Child, Children
from workers.run import connect, drivers_of, wire_deployments
from workers.sandbox.valkey import free_port, valkey
from workers.serving.probe import CompletionFailed, completion

RECIPE = Path(__file__).parents[2] / "docs" / "examples" / "first-launch.yaml"
MAX_PRICE = Decimal("1.60")
"""Maximum price of the machine, in USD per hour."""
READY_WITHIN = timedelta(minutes=40)
"""Maximum time until the first answer; 40 min at MAX_PRICE cost 1.07 USD."""
ENDED_WITHIN = timedelta(minutes=10)
LEASE = "1h"
"""Time after which the machine ends itself if this process and its worker are killed."""
PROMPT = "My favourite condiment is"
NAME = "first-launch"


class Stopped(Exception):
    """Ctrl-C or SIGTERM: everything is ended."""


class Live:
    """Valkey, worker and gateway of one installation, and its one deployment."""

    def __init__(self, cloud: str, home: Path, environ: Mapping[str, str]) -> None:
        self.cloud = cloud
        self.home = home
        gateway = f"127.0.0.1:{free_port()}"
        redis = f"redis://:{secrets.token_hex(16)}@127.0.0.1:{free_port()}/0"
        own = {"REDIS_URL": redis, "MIXTRAL_HOME": str(home), "MIXTRAL_CLOUDS": cloud, "MIXTRAL_LEASE": LEASE}
        own |= {"MIXTRAL_GATEWAY_BIND": gateway, "MIXTRAL_GATEWAY_URL": f"http://{gateway}", "PYTHONUNBUFFERED": "1"}
        self.environ = {**environ, **own}
        self.environ.setdefault(CIDRS, "")
        self.children = Children()

    @property
    def settings(self) -> settings.Settings:
        return settings.from_environ(self.environ)

    def admit_this_host(self) -> None:
        """Let machines admit this host alone, unless MIXTRAL_ALLOW_CIDRS names others."""
        if not self.environ[CIDRS]:
            self.environ[CIDRS] = f"{outside_address(self.environ)}/32"
            say(f"machines will admit {self.environ[CIDRS]}, the public address of this host")

    def start(self) -> Deployments:
        """Start the processes, and return the interface of the workers. Raises Stopped."""
        port = int(self.environ["REDIS_URL"].rpartition(":")[2].partition("/")[0])
        password = self.environ["REDIS_URL"].split("@", maxsplit=1)[0].rpartition(":")[2]
        self.children.start(valkey(port, self.home / "valkey", self.home / "valkey.log", password))
        redis = connect(self.environ["REDIS_URL"])
        _until(lambda: _answers(redis), timedelta(seconds=20), "Valkey did not start")
        for name in ("worker", "gateway"):
            argv = (sys.executable, "-m", "bot.cli", name)
            self.children.start(Child(name=name, argv=argv, env=self.environ, log=self.home / f"{name}.log"))
        return wire_deployments(self.settings, redis)

    def checked(self, recipe: Recipe) -> bool:
        """Print what `check --deep` finds of the cloud; return whether a launch could work."""
        prices = in_use(self.environ).offers
        mine = tuple(need for need in needs([recipe], prices) if need.cloud == self.cloud and not need.spot)
        both = (check_command.RENTED, check_command.DEEP)
        asked = {what: question for of in both for what, question in of[self.cloud](self.environ, mine).items()}
        answers = ask(asked, within=check_command.WITHIN, console=Console(file=sys.stderr))
        found = [one for answer in answers.values() if not isinstance(answer, Exception) for one in answer]
        found += [_failed(what, answer) for what, answer in answers.items() if isinstance(answer, Exception)]
        found.append(on_egress(self.environ, admitted(self.environ)))
        check_command.show(found, sys.stdout)
        return not any(one.works is False for one in found)

    def listing(self) -> Listing:
        """The machines of this installation, also those that have ended."""
        return drivers_of(self.settings)[self.cloud].owned(self.settings.installation)

    def end_all(self) -> None:
        """End every machine of this installation, without its log; say which one could not be ended."""
        if not self.settings.installation:
            return  # nothing was launched: a worker takes the id before its first launch
        driver = drivers_of(self.settings)[self.cloud]
        for one in self.listing():
            if one.presence is Presence.RUNNING:
                say(f"ending {one.machine.id}")
                try:
                    driver.terminate(one.machine.token, whereabouts(one.machine))
                except WorkersError as error:
                    say(f"{one.machine.id} cannot be ended: {error}")


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Exit status 0 if the model answered and no machine is left."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.clouds", description=__doc__)
    parser.add_argument("cloud", choices=("aws", "gcp"))
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--max-price", type=Decimal, default=MAX_PRICE, help="of the machine, in USD per hour")
    parser.add_argument("--yes", action="store_true", help="do not ask before the launch")
    parser.add_argument("--end", action="store_true", help="only end what an earlier run left")
    asked = parser.parse_args(arguments)
    home = Path(environ.get("MIXTRAL_LIVE_HOME") or Path.home() / ".mixtral-bot-live" / asked.cloud)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    live = Live(asked.cloud, home, environ)
    try:
        if asked.end:
            live.end_all()
            return _left(live)
        return _launched(live, load(asked.recipe, live.environ), asked)
    except (WorkersError, CidrsError, RedisError, httpx.HTTPError, ValueError) as error:
        say(f"failed: {error}")
        return 1
    except Stopped:
        return 130


def _launched(live: Live, recipe: Recipe, asked: argparse.Namespace) -> int:
    live.admit_this_host()
    if not live.checked(recipe):
        say("nothing was launched: correct what the lines with `no` report, and repeat the command")
        return 1
    if not asked.yes and not _agreed(f"Launch a machine for at most {asked.max_price} USD/h? [y/N] "):
        return 1
    answered, deployments = False, None
    try:
        deployments = live.start()
        limits = Limits(clouds=(live.cloud,), max_price=asked.max_price)
        place = Place(team="", channel="", user="")
        once = secrets.token_hex(4)
        name = f"{NAME}-{once}"
        id_ = deployments.launch(recipe, name=name, replicas=1, place=place, limits=limits, once=once)
        answered = _follow(live, deployments, id_)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave a machine
        left = _cleared(live, deployments)
    return 0 if answered and not left else 1


def _agreed(question: str) -> bool:
    try:
        return input(question).lower() == "y"
    except EOFError:
        say("nobody can answer here: add --yes")
        return False


def _cleared(live: Live, deployments: Deployments | None) -> int:
    """End every deployment, also one that an earlier run left, then what still runs. Returns the number left."""
    try:
        for state in deployments.all() if deployments else ():
            _end(live, deployments, state.id)
    except (RedisError, WorkersError) as error:
        say(f"the worker cannot end the deployment: {error}")
    live.children.stop()
    live.end_all()
    return _left(live)


def _follow(live: Live, deployments: Deployments, id_: DeploymentId) -> bool:
    """Print each event until the model has answered through the gateway; False if the deployment ended before."""
    log, shown, until = Log(connect(live.environ["REDIS_URL"])), 0, datetime.now(UTC) + READY_WITHIN
    while datetime.now(UTC) < until:
        live.children.restart_the_dead()
        for event in log.read(id_)[shown:]:
            shown += 1
            say(f"{type(event).__name__} {in_words(event)}"[:300], event.at)
        state = deployments.by_id(id_)
        if state is None or state.ended or state.exhausted:
            say("no machine, or the engine failed: the reasons are above")
            return False
        if state.test is not None and state.ready:
            return _answer(deployments, state)
        time.sleep(0.5)
    say(f"no answer within {READY_WITHIN}")
    return False


def _answer(deployments: Deployments, state: Deployment) -> bool:
    key = deployments.key(state.id) or ""
    try:
        url = state.endpoint.url if state.endpoint else ""
        answer = completion(url, key, model=state.name, prompt=PROMPT)
    except CompletionFailed as failed:
        say(f"the endpoint failed: {failed.why}")
        return False
    say(f"asked through the gateway: {PROMPT!r}; answered in {answer.seconds:.1f} s: {answer.text!r}")
    return True


def _end(live: Live, deployments: Deployments, id_: DeploymentId) -> None:
    say("ending the deployment")
    deployments.stop(id_, by="tests.live.clouds")
    until = time.monotonic() + ENDED_WITHIN.total_seconds()
    while time.monotonic() < until:
        live.children.restart_the_dead()
        state = deployments.by_id(id_)
        if state is None or state.ended:
            break
        time.sleep(0.5)
    state = deployments.by_id(id_)
    spent = state.spent(datetime.now(UTC)) if state else Decimal(0)
    say(f"the machines cost about {spent:.4f} USD by the price table, without disks, addresses and traffic")


def _left(live: Live) -> int:
    """Print the machines that still run and the places that were not listed; return their number."""
    if not live.settings.installation:
        say(f"no run has used {live.home}, so no machine was made from it")
        return 0
    listing = live.listing()
    running = [one.machine.id for one in listing if one.presence is Presence.RUNNING]
    for id_ in running:
        say(f"STILL RUNNING: {id_}. Run `.venv/bin/python -m tests.live.clouds {live.cloud} --end`")
    for part in listing.unlisted:
        say(f"NOT LISTED: {part.place or live.cloud}: {part.why}. If a machine was made there, look at the console")
    if not running and not listing.unlisted:
        say(f"no machine of installation {live.settings.installation} runs on {live.cloud}")
    return len(running) + len(listing.unlisted)


def _failed(what: str, error: Exception) -> Finding:
    return Finding(about="", what=what, works=None, says=f"could not be checked: {error}")


def _answers(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except RedisError:
        return False


def _until(done: Callable[[], bool], within: timedelta, failure: str) -> None:
    until = time.monotonic() + within.total_seconds()
    while not done():
        if time.monotonic() > until:
            raise ValueError(failure)
        time.sleep(0.05)


def say(text: str, at: datetime | None = None) -> None:
    sys.stdout.write(f"{at or datetime.now(UTC):%H:%M:%S} {text}\n")
    sys.stdout.flush()


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise Stopped


if __name__ == "__main__":
    sys.exit(main())
