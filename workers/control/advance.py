"""Advances a deployment: fold its log, decide the next step, do it, append the result; until the step is `Wait`."""

import logging
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import assert_never

from redis import Redis

from workers.clouds.driver import Driver, DriverError, NoAnswer
from workers.control.creating import Creating
from workers.control.intended import Intended
from workers.control.open_calls import Calls, LaunchAnswer, OpenCalls
from workers.control.purchase_budgets import PurchaseBudgets
from workers.control.terminating import Terminating
from workers.decision.budget import why_refused
from workers.decision.if_refused import if_refused
from workers.decision.next_step import (
    Abandon,
    AnnounceEnd,
    Create,
    Drain,
    EndDeployment,
    Exhaust,
    GiveUp,
    Keep,
    LaunchReplica,
    PlanLadder,
    Step,
    Stop,
    Terminate,
    Test,
    Wait,
    next_step,
)
from workers.decision.opening import AnnouncePause, HoursStep, Pause, Resume
from workers.decision.retry_policy import BOOTS_WITHIN
from workers.decision.silence import NO_ANSWER, UNKNOWN_AFTER, is_unsettled
from workers.decision.verdict import streaming
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.confidential import Confidential
from workers.deployment.events import (
    AnyEvent,
    Autoscaled,
    Clock,
    DeploymentEnded,
    DeploymentId,
    EndAnnounced,
    EngineProgressed,
    LadderExhausted,
    LadderPlanned,
    LaunchIntended,
    MachineCreated,
    OfferRefused,
    ReplicaDraining,
    ReplicaGivenUp,
    ReplicaKept,
    ReplicasAbandoned,
    StopRequested,
    TestCompletionAnswered,
    TestCompletionFailed,
    WeightsChecked,
)
from workers.deployment.loads import Loads
from workers.deployment.log import Log, Stamp, stamp
from workers.deployment.ownership import WorkerIdentity
from workers.deployment.state import Deployment, fold
from workers.errors import WorkersError
from workers.lease import Lease
from workers.machines import MachineRequest, Token
from workers.placement.ladder import Ladder
from workers.placement.offer import Offer
from workers.policy.stored import PolicyUnreadable
from workers.serving.boot import boot_of
from workers.serving.hub import weights_of
from workers.serving.probe import CompletionFailed, completion
from workers.serving.weights import Verdict, is_offline, question_of

logger = logging.getLogger(__name__)

TEST_PROMPT = "My favourite condiment is"


class IntentLost(WorkersError):
    """The log no longer contains the intent of a call: a failover of Redis, or a backup that was restored, lost it."""

    def __init__(self, token: Token, answer: MachineCreated | OfferRefused) -> None:
        left = "; the sweeper reports its machine, and does not end it" if isinstance(answer, MachineCreated) else ""
        super().__init__(f"The log no longer contains the intent {token}, whose answer is dropped{left}.")


class Advance:
    """Advances one deployment per call. It may be killed at any line, and two processes may run it concurrently."""

    def __init__(
        self,
        *,
        redis: Redis,
        log: Log,
        drivers: Mapping[str, Driver],
        ladder: Ladder,
        environ: Mapping[str, str],
        installation: str,
        machine_lease: timedelta,
        control_lease: timedelta,
        clock: Callable[[], datetime],
        gateway: str | None = None,
        host: str = "",
        forward: Callable[[DeploymentId, str], None] | None = None,
        calls: Callable[[], Calls] = OpenCalls,
    ) -> None:
        """`gateway`: URL at which this process reaches the gateway; None if it is the published one.

        `host`: the id of this worker host; empty if there is only one. `forward`: nudges the workers of another host.
        """
        self._redis = redis
        self._log = log
        self._loads = Loads(redis)
        self._budgets = PurchaseBudgets(redis)
        self._drivers = drivers
        self._ladder = ladder
        self._environ = environ
        self._confidential = Confidential(log, environ)
        self._us = WorkerIdentity(installation=installation, host=host)
        self._forward = forward
        self._machine_lease = machine_lease
        self._control_lease = control_lease
        self._now = clock
        self._gateway = gateway
        self._calls = calls
        self._creating = Creating(log, drivers, self._confidential, self._stamp)
        self._terminating = Terminating(log, drivers, self._confidential, self._us, self._stamp)

    def __call__(self, deployment: DeploymentId) -> None:
        """Take the deployment's lease, unless it is held, and do steps until `Wait`. Raises DriverError, RedisError."""
        try:
            self._advance(deployment)
        finally:
            self._creating.finish()  # after the lease: an end that is requested meanwhile is not delayed by it

    def _advance(self, deployment: DeploymentId) -> None:
        while True:
            with Lease(self._redis, f"d:{deployment}", self._control_lease).held() as free:
                if not free:
                    return  # the holder of the lease compares the log's version after its release
                state, unanswered = self._settle(deployment)
            if state is not None:
                self._leave(state)
            if unanswered is not None:
                raise unanswered  # the sweeper repeats the nudge
            # A nudge that finds the lease held returns immediately, so continue if the log has grown meanwhile.
            if state is None or state.newer or self._log.version(deployment) == state.version:
                return

    def _leave(self, state: Deployment) -> None:
        """Nudge the hosts whose local machines have to be created or ended."""
        now = self._now()
        if self._forward is None or isinstance(next_step(state, now), Wait):
            return
        apart = self._us.apart(state, now)
        if foreign := [number for number, host in apart.items() if not host]:
            logger.warning(
                "%s: the machines of the attempts %s belong to another installation: they are left alone, and end "
                "themselves when their leases have passed",
                *(state.name, ", ".join(map(str, foreign))),
            )
        for host in {host for host in apart.values() if host}:
            self._forward(state.id, host)

    def _settle(self, deployment: DeploymentId) -> tuple[Deployment | None, DriverError | None]:
        """Do steps until `Wait` without an open call. Returns the state, and the first error of a place."""
        state = fold(deployment, self._log.read(deployment))
        calls, intended = self._calls(), Intended(self._machine_lease)
        silent: dict[int, DriverError] = {}
        while state is not None:
            now, ages = self._now(), calls.ages()
            step = next_step(state, now, silent, self._us.apart(state, now), self._streaming(state), asked=ages)
            if isinstance(step, Wait) and not ages:
                break
            try:
                self._do(state, step, calls, intended, silent)
            except IntentLost as error:
                logger.warning("%s: %s", state.id, error)
                return None, None  # this state is not the log's any more; the sweeper nudges again
            except DriverError as error:
                if not isinstance(step, Terminate):
                    raise
                # A place that does not answer must not delay the replicas in others.
                silent |= dict.fromkeys(_unanswered(state, step.attempt, error), error)
            state = fold(deployment, self._log.read(deployment, after=state.version), onto=state)
        return state, next(iter(silent.values()), None)

    def _do(
        self, state: Deployment, step: Step, calls: Calls, intended: Intended, silent: dict[int, DriverError]
    ) -> None:
        """Start a call, wait for the answers of open ones, or do another step and append its result."""
        match step:
            case Wait():
                for number, answer in calls.answered():
                    self._heard(state, number, answer, silent)
            case Create(attempt):
                logger.info("%s v%d: Create %d", state.id, state.version, attempt.number)
                replay = attempt.request.token not in intended.tokens
                prepares = self._creating.prepares(attempt)
                intended.following = self._following(state, attempt, calls.ages()) if prepares else None
                ask = partial(self._creating, state, attempt, replay=replay, following=intended.following)
                calls.ask(attempt.number, ask)
            case LaunchReplica():
                logger.info("%s v%d: LaunchReplica %d", state.id, state.version, step.attempt)
                self._intend(state, step, intended)
            case _:
                logger.info("%s v%d: %s", state.id, state.version, type(step).__name__)
                self._act(state, step)

    def _heard(self, state: Deployment, number: int, answer: LaunchAnswer, silent: dict[int, DriverError]) -> None:
        """Append the answer of a call. An unknown one leaves the intent open; the sweeper repeats the nudge."""
        attempt = next(a for a in state.attempts if a.number == number)
        match answer:
            case MachineCreated() | OfferRefused():
                self._record_answer(state, attempt, answer)
            case DriverError():
                said, now = self._confidential.masked(state, str(answer)), self._stamp()
                if attempt.progress != said or attempt.is_ahead(now["at"]):
                    progressed = EngineProgressed(**now, attempt=number, progress=said)
                    self._log.record(state.id, state.version, [progressed])
                silent |= dict.fromkeys(_unanswered(state, attempt, answer), answer)
            case _:
                raise answer

    def _record_answer(self, state: Deployment, attempt: Attempt, answer: MachineCreated | OfferRefused) -> None:
        """Append the answer of a call, if the log still contains its intent. Raises IntentLost.

        The log is read anew: after a failover, the version and the number of a lost intent are given again.
        """
        token = attempt.request.token
        while True:
            newest = fold(state.id, self._log.read(state.id))
            if newest is None or all(a.request.token != token for a in newest.attempts):
                raise IntentLost(token, answer)
            if self._log.append(state.id, newest.version, [answer]):
                return

    def _streaming(self, state: Deployment) -> frozenset[int]:
        """The attempts that are answering requests; read only if that decides how a replica ends."""
        if not any(a.phase is Phase.NOT_READY for a in state.attempts):
            return frozenset()
        return streaming(self._loads.read([state.id]).get(state.id), self._now())

    def _act(self, state: Deployment, step: Step) -> None:
        """Do a step that needs no answer of a launch, and append its result."""
        match step:
            case PlanLadder():
                self._plan(state)
            case Drain():
                draining = ReplicaDraining(**self._stamp(), attempt=step.attempt, why=step.why, failure=step.failure)
                self._log.append(state.id, state.version, [draining])
            case Keep():
                self._log.append(state.id, state.version, [ReplicaKept(**self._stamp(), attempt=step.attempt)])
            case Abandon(why):
                self._log.append(state.id, state.version, [ReplicasAbandoned(**self._stamp(), why=why)])
            case GiveUp():
                event = ReplicaGivenUp(**self._stamp(), attempt=step.attempt, why=step.why, failure=step.failure)
                self._log.append(state.id, state.version, [event])
            case Terminate(attempt):
                self._terminating(state, attempt)
            case Test(url):
                self._log.append(state.id, state.version, [self._test(state, url)])
            case Exhaust(why):
                self._log.append(state.id, state.version, [LadderExhausted(**self._stamp(), why=why)])
            case AnnounceEnd(until):
                self._log.append(state.id, state.version, [EndAnnounced(**self._stamp(), until=until)])
            case AnnouncePause() | Pause() | Resume():
                self._log.append(state.id, state.version, [self._in_hours(step)])
            case Stop():
                self._log.append(state.id, state.version, [StopRequested(**self._stamp(), by="")])
            case EndDeployment(failed):
                self._end(state, failed)
            case Wait() | Create() | LaunchReplica():
                raise AssertionError(step)  # see `_do`
            case _:
                assert_never(step)

    def _in_hours(self, step: HoursStep) -> AnyEvent:
        match step:
            case AnnouncePause(until):
                return EndAnnounced(**self._stamp(), until=until, clock=Clock.HOURS)
            case Pause(why):
                return Autoscaled(**self._stamp(), replicas=0, why=why, clock=Clock.HOURS)
            case Resume(replicas, why):
                return Autoscaled(**self._stamp(), replicas=replicas, why=why, clock=Clock.HOURS)
            case _:
                assert_never(step)

    def _plan(self, state: Deployment) -> None:
        lacking = self._confidential.lacking(state)
        if lacking and not state.live:
            names = " and ".join(lacking)
            why = f"The recipe {state.recipe.name} needs {names}, not set in the worker's environment."
            mend = f"Set {names} where `mixtral-bot worker` runs (never in a channel), and restart it"
            if state.established or is_unsettled(state):
                dry = LadderExhausted(**self._stamp(), why=f"{why} {mend}.")
                self._log.append(state.id, state.version, [dry])
            else:
                self._end(state, f"{why} {mend}; then launch again.")
            return
        checked = self._checked(state) if state.planned_at is None else None
        if checked is not None and checked.refused:
            self._end(state, checked.says)
            return
        rungs, why_empty = self._ladder(state.recipe, state.limits)
        if state.planned_at is not None and (tuple(rungs), why_empty) == (state.rungs, state.why_no_rungs):
            planned = LadderPlanned(**self._stamp(), rungs=(), as_before=True)
        else:
            planned = LadderPlanned(**self._stamp(), rungs=tuple(rungs), why_empty=why_empty)
        said = [WeightsChecked(**self._stamp(), model=checked.model, says=checked.says)] if checked else []
        self._log.append(state.id, state.version, [planned, *said])

    def _checked(self, state: Deployment) -> Verdict | None:
        """What the hub says about the weights; None if they come from elsewhere. Asked once, before any machine."""
        question = None if is_offline(self._environ) else question_of(state.recipe)
        return weights_of(question, self._environ) if question else None

    def _following(self, state: Deployment, attempt: Attempt, asked: Mapping[int, timedelta]) -> MachineRequest | None:
        """The next request if this one is refused for lack of capacity; None if there is none."""
        step = if_refused(state, attempt, self._now(), asked)
        if step is None:
            return None
        try:
            bought, _ = self._budgets.decide(state, step.offers, self._now(), without=attempt.number)
        except PolicyUnreadable:
            return None
        return self._request(state, step, bought.offers) if bought.refused_by is None else None

    def _request(self, state: Deployment, step: LaunchReplica, offers: tuple[Offer, ...]) -> MachineRequest:
        return MachineRequest(
            # After a rollback of Redis the numbers of attempts repeat; tokens must not.
            token=Token(f"{state.id}-{step.attempt}-{secrets.token_hex(2)}"),
            installation=self._us.installation,
            deployment=state.id,
            replica=step.replica,
            attempt=step.attempt,
            offers=offers,
            boot=boot_of(state.recipe, state.name),
            expires_at=self._now() + self._machine_lease,
            host=self._us.host if offers[0].cloud == "local" else "",
            boots_within=BOOTS_WITHIN if offers[0].cloud != "local" else timedelta(),
        )

    def _intend(self, state: Deployment, step: LaunchReplica, intended: Intended) -> None:
        try:
            bought, ledger = self._budgets.decide(state, step.offers, self._now())
        except PolicyUnreadable as error:
            self._refuse(state, str(error))
            return
        if bought.refused_by is not None:
            if not self._is_given_up_for(state, step):
                self._refuse(state, why_refused(bought.refused_by, bought.price))
            return
        request = intended.chosen(self._request(state, step, bought.offers))
        event = LaunchIntended(**self._stamp(), request=request, beside=step.beside)
        if ledger is None:
            appended = self._log.append(state.id, state.version, [event])
        else:  # if it has grown meanwhile, nothing is appended, and the step is decided again
            appended = self._log.intend(state.id, state.version, event, ledger)
        if appended:
            intended.tokens.add(request.token)

    def _is_given_up_for(self, state: Deployment, step: LaunchReplica) -> bool:
        """Give up the call without an answer beside which the budgets allow nothing, if they allow it in its place."""
        now = self._now()
        unanswered = next((a for a in state.attempts if a.number == step.beside), None)
        if unanswered is None or now - unanswered.since < UNKNOWN_AFTER:
            return False
        bought, _ = self._budgets.decide(state, step.offers, now, without=step.beside)
        if bought.refused_by is not None:
            return False
        given_up = ReplicaGivenUp(**self._stamp(), attempt=step.beside, why=NO_ANSWER)
        return self._log.append(state.id, state.version, [given_up])

    def _refuse(self, state: Deployment, why: str) -> None:
        """Buy nothing: a launch that has no machine ends, unless a person keeps trying; another deployment stays."""
        trying = state.keep_trying is not None and self._now() < state.keep_trying.until
        if state.live or state.established or is_unsettled(state) or trying:
            self._log.append(state.id, state.version, [LadderExhausted(**self._stamp(), why=why)])
        else:
            self._end(state, why)

    def _test(self, state: Deployment, published: str) -> AnyEvent:
        url = self._gateway or published
        key = self._log.secrets(state.id).bot
        model = state.ready[0].request.boot.served_names[0] if state.ready else state.name
        try:
            answer = completion(url, key, model=model, prompt=TEST_PROMPT)
        except CompletionFailed as failed:
            why = self._confidential.masked(state, failed.why)
            return TestCompletionFailed(**self._stamp(), prompt=TEST_PROMPT, why=why)
        text = self._confidential.masked(state, answer.text)
        return TestCompletionAnswered(**self._stamp(), prompt=TEST_PROMPT, text=text, seconds=answer.seconds)

    def _end(self, state: Deployment, failed: str | None) -> None:
        self._log.close(state.id, state.name, state.version, DeploymentEnded(**self._stamp(), failed=failed))

    def _stamp(self) -> Stamp:
        return stamp(self._now())


def _unanswered(state: Deployment, attempt: Attempt, error: DriverError) -> list[int]:
    """The attempts about which another call would fail, too: all in the same place if it gave no answer."""
    if not isinstance(error, NoAnswer):
        return [attempt.number]
    place = attempt.offer.cloud, attempt.offer.region
    return [a.number for a in state.attempts if (a.offer.cloud, a.offer.region) == place]
