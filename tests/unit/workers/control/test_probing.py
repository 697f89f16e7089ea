"""When a replica is probed: at once where somebody waits, else in turns that spread a thousand over the interval."""

import asyncio
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.builders.story import Story
from tests.fakes.probes import told
from tests.patience import PATIENCE
from workers.control.async_collector import AsyncCollector
from workers.control.probe_history import PROBE_READY_EVERY, ProbeHistory, next_turn
from workers.control.probing import Prober
from workers.decision.retry_policy import NOT_READY_FOR
from workers.decision.verdict import BecameNotReady, BecameReady, Busy
from workers.deployment.attempt import Phase
from workers.deployment.events import ProbeFailed
from workers.deployment.keys import Secrets
from workers.deployment.loads import Load, ReplicaLoad
from workers.deployment.log import stamp
from workers.machines import Token
from workers.serving.unready import Unready

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@given(st.text(max_size=20), st.timedeltas(timedelta(), timedelta(days=3650)))
def test_each_interval_has_one_turn(token, ahead):
    after = NOON + ahead
    turn = next_turn(token, after)
    assert after < turn <= after + PROBE_READY_EVERY
    assert abs(next_turn(token, turn + timedelta(microseconds=10)) - turn - PROBE_READY_EVERY) <= SECOND / 1000


def test_turns_of_a_thousand_replicas_are_spread_over_the_interval():
    turns = Counter((next_turn(Token(f"d{n:x}-1"), NOON) - NOON) // SECOND for n in range(1000))
    assert max(turns.values()) < 200


def unready(why):
    return Unready(why=why, silent=True)


class Recorder:
    """The newest states, by hand."""

    def __init__(self, states):
        self.now_is = NOON
        self.states = {state.id: state for state in states}
        self.recorded = []
        self.environ = {}
        self.headers = []
        self.masks = 0

    def secrets(self, state):
        return self.environ

    def now(self):
        return self.now_is

    def attempts(self, phases):
        return [(s, a) for s in self.states.values() for a in s.attempts if a.phase in phases]

    def record(self, state, attempt, verdict):
        self.recorded.append((state.name, verdict))

    def append(self, state, fact):
        self.recorded.append((state.name, fact))

    def stamp(self):
        return stamp(self.now_is)

    def masked(self, state, text):
        self.masks += 1
        return text


def answering(name="m", url="http://127.0.0.1:1"):
    return Story(name, id_=f"d-{name}", at=NOON).answers_at(url).state


def in_phase(state, phase):
    return replace(state, attempts=tuple(replace(a, phase=phase) for a in state.attempts))


@pytest.fixture
def asked():
    return []


def prober_of(
    states, asked, failure=lambda _: None, *, completes=lambda *_, **__: None, loads=lambda _: {}, computes=False
):
    recorder: Any = Recorder(states)
    log: Any = SimpleNamespace(secrets=lambda _: Secrets(replica="mxk_replica"))

    async def probe(address, _asked, *, key):
        asked.append((address, key))
        recorder.headers.append(_asked.headers)
        return failure(address)

    return recorder, Prober(
        recorder,
        log,
        probe=probe,
        key_is_enforced=told(True),
        cannot_complete=told(completes),
        loads=loads,
        computes=told(computes),
    )


def sweep(recorder, prober, times):
    for _ in range(times):
        prober.ask()
        prober.collect(until=time.monotonic() + 30)
        recorder.now_is += SECOND


def test_a_ready_replica_is_probed_once_in_an_interval(asked):
    recorder, prober = prober_of([answering()], asked)
    sweep(recorder, prober, 40)
    assert len(asked) in {3, 4}  # its turn may come just before the first sweep
    assert asked[0][1] == "mxk_replica"


def test_whoever_takes_over_ready_replicas_does_not_probe_them_all_at_once(asked):
    recorder, prober = prober_of([answering(f"m-{n}", url=f"http://127.0.0.1:{n}") for n in range(1, 101)], asked)
    sweep(recorder, prober, 1)
    assert len(asked) < 50
    sweep(recorder, prober, 10)
    assert len({address for address, _ in asked}) == 100


def test_a_clock_that_is_set_back_does_not_stop_the_probes(asked):
    recorder, prober = prober_of([answering()], asked)
    sweep(recorder, prober, 11)
    asked.clear()
    recorder.now_is -= timedelta(hours=2)
    sweep(recorder, prober, 22)
    assert len(asked) in {2, 3}


def hangs_except(address):
    """A probe that only one replica answers."""

    async def probe(asked_at, *_, **__):
        if asked_at != address:
            await asyncio.sleep(3600)

    return probe


def test_replicas_that_are_not_ready_are_probed_before_those_that_are(asked):
    new = in_phase(answering("new"), Phase.STARTING)
    recorder, prober = prober_of(
        [*(answering(f"m-{n}", url=f"http://127.0.0.1:2/{n}") for n in range(500)), new], asked
    )
    prober.ask()
    recorder.now_is += PROBE_READY_EVERY  # all others are due
    prober.collect(until=time.monotonic() + 30)
    recorder.states[new.id] = new  # not ready yet
    asked.clear()
    prober.ask()
    prober.collect(until=time.monotonic() + 30)
    assert len({address for address, _ in asked}) == 501
    assert asked[0][0] == "http://127.0.0.1:1"


def test_a_thousand_replicas_that_hang_do_not_delay_a_new_one(asked):
    new = in_phase(answering("new"), Phase.STARTING)
    hanging = [answering(f"m-{n}", url=f"http://127.0.0.1:2/{n}") for n in range(1000)]
    recorder, prober = prober_of([*hanging], asked)
    prober._probes = AsyncCollector("probe", 200)
    prober._ask = hangs_except("http://127.0.0.1:1")
    prober.ask()
    recorder.now_is += PROBE_READY_EVERY
    prober.ask()
    prober.collect(until=time.monotonic() + 1)
    recorder.states[new.id] = new
    sweeps = 0
    while not recorder.recorded and sweeps < 20 * PATIENCE:
        prober.ask()
        prober.collect(until=time.monotonic() + 0.3)
        sweeps += 1
    assert [name for name, verdict in recorder.recorded if isinstance(verdict, BecameReady)] == ["new"]


def test_starting_replicas_that_hang_do_not_delay_one_that_answers(asked):
    new = in_phase(answering("new"), Phase.STARTING)
    hanging = [in_phase(answering(f"m-{n}", url=f"http://127.0.0.1:2/{n}"), Phase.STARTING) for n in range(300)]
    recorder, prober = prober_of([*hanging], asked)
    prober._probes = AsyncCollector("probe", 100)
    prober._ask = hangs_except("http://127.0.0.1:1")
    for state in hanging:  # each was slow before
        prober._seen[state.attempts[0].request.token] = ProbeHistory(due=NOON, slow=True)
    prober.ask()
    prober.collect(until=time.monotonic() + 0.5)
    recorder.states[new.id] = new
    sweeps = 0
    while not recorder.recorded and sweeps < 20 * PATIENCE:
        prober.ask()
        prober.collect(until=time.monotonic() + 0.3)
        sweeps += 1
    assert [name for name, verdict in recorder.recorded if isinstance(verdict, BecameReady)] == ["new"]


def test_an_answer_of_a_starting_replica_does_not_wait_for_the_next_sweep(asked):
    state = in_phase(answering(), Phase.STARTING)
    recorder, prober = prober_of([state], asked, lambda _: None if len(asked) > 1 else unready("nothing listens"))
    sweep(recorder, prober, 1)
    for _ in range(100 * PATIENCE):
        prober.catch_up()
        if isinstance(recorder.recorded[-1][1], BecameReady):
            break
        time.sleep(0.05)
    assert isinstance(recorder.recorded[-1][1], BecameReady)


def test_between_two_sweeps_neither_a_ready_replica_nor_a_refused_key_is_asked_again(asked):
    starting = in_phase(answering("refused", url="http://127.0.0.1:2"), Phase.STARTING)
    recorder, prober = prober_of([answering(), starting], asked, lambda _: Unready(why="key", key_refused=True))
    sweep(recorder, prober, 11)
    asked.clear()
    prober._again_at = 0.0
    for _ in range(5):
        prober.catch_up()
        time.sleep(0.01)
    assert asked == []


def test_a_replica_that_starts_is_probed_at_every_sweep(asked):
    recorder, prober = prober_of([in_phase(answering(), Phase.STARTING)], asked, lambda _: unready("nothing listens"))
    sweep(recorder, prober, 5)
    assert len(asked) == 5


def test_a_replica_that_completes_nothing_is_not_ready_and_told_of(asked):
    state = in_phase(answering(), Phase.STARTING)
    models, fails = [], [unready("it answers, but a completion fails: status 500"), None]

    def completes(_address, *, key, model, within):
        models.append((key, model))
        return fails.pop(0)

    recorder, prober = prober_of([state], asked, completes=completes)
    sweep(recorder, prober, 1)
    [told] = [fact for _, fact in recorder.recorded if isinstance(fact, ProbeFailed)]
    assert "a completion fails" in told.why
    assert not any(isinstance(verdict, BecameReady) for _, verdict in recorder.recorded)
    sweep(recorder, prober, 1)
    assert isinstance(recorder.recorded[-1][1], BecameReady)
    assert set(models) == {("mxk_replica", state.attempts[0].request.boot.served_names[0])}


def test_why_a_probe_fails_is_told_at_once_and_an_engine_that_says_something_else_each_time_fills_no_log(asked):
    state = in_phase(answering(), Phase.STARTING)
    recorder, prober = prober_of([state], asked, lambda _: unready(f"reason {len(asked)}"))
    sweep(recorder, prober, 2)
    assert [fact.why for _, fact in recorder.recorded if isinstance(fact, ProbeFailed)] == ["reason 1", "reason 2"]
    sweep(recorder, prober, 60)
    told = [fact.why for _, fact in recorder.recorded if isinstance(fact, ProbeFailed)]
    assert len(told) <= 5 + 60 / 15


def test_one_lost_probe_of_a_ready_replica_is_asked_again_at_once_and_two_are_a_verdict(asked):
    recorder, prober = prober_of([answering()], asked, lambda _: unready("no answer"))
    sweep(recorder, prober, 12)
    assert len(asked) >= 2
    assert len([v for _, v in recorder.recorded if v]) >= 1
    first, second = (n for n, _ in enumerate(asked[:2]))
    assert second == first + 1


def verdicts(recorder):
    return [verdict for _, verdict in recorder.recorded if not isinstance(verdict, ProbeFailed)]


def view(recorder, state, **replica):
    """The gateway's view of the first replica, as of now."""
    return lambda _: {
        state.id: Load(at=recorder.now_is, qps=0.0, replicas={1: ReplicaLoad(**{"up": True, "requests": 2} | replica)})
    }


def test_a_silent_replica_whose_streams_flow_is_busy_and_is_probed_in_its_turn(asked):
    state = answering()
    recorder, prober = prober_of([state], asked, lambda _: unready("no answer within 15 s"))
    prober._loads = view(recorder, state, idle=2.0)
    sweep(recorder, prober, 60)
    assert set(verdicts(recorder)) == {Busy()}
    assert len(asked) <= 7, "an engine without a free slot queues each of them"


def test_a_silent_replica_whose_engine_computes_is_busy_though_no_gateway_tells(asked):
    recorder, prober = prober_of([answering()], asked, lambda _: unready("no answer"), computes=True)
    sweep(recorder, prober, 40)
    assert set(verdicts(recorder)) == {Busy()}


def test_a_silent_replica_without_streams_is_not_ready_since_its_first_failed_probe(asked):
    state = answering()
    recorder, prober = prober_of([state], asked, lambda _: unready("no answer"))
    prober._loads = view(recorder, state, idle=60.0)
    times = []
    while not verdicts(recorder):
        times.append(recorder.now_is) if len(asked) == 0 else None
        sweep(recorder, prober, 1)
    assert verdicts(recorder) == [BecameNotReady("no answer", times[-1])]


@pytest.mark.parametrize("back", [SECOND * 70, timedelta(minutes=20), timedelta(hours=2)])
def test_a_replica_that_is_not_ready_since_a_time_ahead_is_said_to_be_so_since_a_failed_probe(asked, back):
    """Else it would be replaced later by as much as the clock was set back."""
    story = Story("m", id_="d-m", at=NOON).answers_at("http://127.0.0.1:1").not_ready()
    recorder, prober = prober_of([story.state], asked, lambda _: unready("no answer"))
    sweep(recorder, prober, 5)
    recorder.now_is = NOON - back
    sweep(recorder, prober, 1)
    *before, verdict = verdicts(recorder)
    assert not any(isinstance(one, BecameNotReady) for one in before)
    assert verdict == BecameNotReady("no answer", NOON - back)


def test_a_silent_replica_that_the_gateway_has_found_dead_needs_no_second_probe(asked):
    state = answering()
    recorder, prober = prober_of([state], asked, lambda _: unready("no answer"), computes=True)
    prober._loads = view(recorder, state, up=False, idle=1.0)
    sweep(recorder, prober, 11)
    assert isinstance(verdicts(recorder)[0], BecameNotReady)
    assert len(asked) - len(verdicts(recorder)) == 0


class SlowProbes:
    """In place of threads: a probe that gets no answer ends after its timeout, by the test's clock."""

    def __init__(self, recorder, answers):
        self.recorder, self.answers, self.pending = recorder, answers, {}

    def ask(self, token, call, *arguments, **_):
        if token not in self.pending:
            takes = SECOND / 10 if self.answers(self.recorder.now_is) else arguments[0].timeout
            self.pending[token] = (self.recorder.now_is + takes, call, arguments)

    def collect(self, until):
        for token, (ends, call, arguments) in list(self.pending.items()):
            if ends <= self.recorder.now_is:
                del self.pending[token]
                yield token, asyncio.run(call(*arguments))

    def retain(self, tokens):
        pass

    def is_pending(self, token):
        return token in self.pending


@pytest.mark.parametrize("timeout", [1, 5, 15, 30, 60])
@pytest.mark.parametrize("checked", [False, True], ids=["frozen", "its health still answers"])
def test_a_dead_engine_is_replaced_within_200_seconds_whenever_it_dies(asked, timeout, checked):
    state = answering()
    probe = replace(state.recipe.service.readiness_probe, timeout=timedelta(seconds=timeout))
    service = replace(state.recipe.service, readiness_probe=probe)
    state = replace(state, recipe=replace(state.recipe, service=service))
    for dies_after in range(60, 60 + 2 * timeout + 12, 3):
        dies = NOON + dies_after * SECOND
        recorder, prober = prober_of([state], asked, lambda _: unready("no answer"))
        prober._probes = SlowProbes(recorder, lambda _: False)  # all slots are in use

        def seen(_, recorder=recorder, dies=dies):
            idle = max(5 * SECOND, recorder.now_is - dies + 5 * SECOND)  # HAProxy counts every 5 s
            up = recorder.now_is < dies + max(16, timeout + 6) * SECOND or checked
            replica = ReplicaLoad(up=up, requests=2, idle=idle.total_seconds())
            return {state.id: Load(at=recorder.now_is, qps=0.0, replicas={1: replica})}

        prober._loads = seen
        while not any(isinstance(verdict, BecameNotReady) for verdict in verdicts(recorder)):
            sweep(recorder, prober, 1)
        assert recorder.now_is > dies, "it was busy until then"
        since = next(v.since for v in verdicts(recorder) if isinstance(v, BecameNotReady))
        assert max(since + NOT_READY_FOR, recorder.now_is) - dies <= 200 * SECOND


def test_a_key_that_is_refused_is_told_at_once_and_is_final_the_third_time_in_a_row(asked):
    state = in_phase(answering(), Phase.STARTING)
    refused = Unready(why="another key", key_refused=True)
    answers = [refused, refused, unready("restarting"), refused, refused, refused]
    recorder, prober = prober_of([state], asked, lambda _: answers[len(asked) - 1])
    sweep(recorder, prober, len(answers))
    facts = [(f.why, f.key_refused) for _, f in recorder.recorded if isinstance(f, ProbeFailed)]
    assert facts[0] == ("another key", False)
    assert [n for n, (_, final) in enumerate(facts) if final] == [len(facts) - 1]


def test_secrets_are_filled_into_the_probe_s_headers_as_envs_are(asked):
    headers = {"Authorization": "Bearer $AUTH_TOKEN", "X-Own": "${VLLM_API_KEY}", "X-Other": "$HOME"}
    state = answering()
    probe = replace(state.recipe.service.readiness_probe, headers=headers)
    service = replace(state.recipe.service, readiness_probe=probe)
    state = replace(state, recipe=replace(state.recipe, service=service))
    recorder, prober = prober_of([state], asked)
    recorder.environ = {"AUTH_TOKEN": "s3cret-of-the-recipe\n"}
    sweep(recorder, prober, 11)
    filled = {"Authorization": "Bearer s3cret-of-the-recipe", "X-Own": "mxk_replica", "X-Other": "$HOME"}
    assert recorder.headers[0] == filled


def test_a_reason_of_failure_that_stays_the_same_costs_no_further_read_of_the_secrets(asked):
    states = [in_phase(answering(f"m-{n}"), Phase.STARTING) for n in range(20)]
    recorder, prober = prober_of(states, asked, lambda _: unready("nothing listens"))
    sweep(recorder, prober, 5)
    assert len(asked) == 5 * 20
    assert recorder.masks == 20


def test_an_answer_from_an_address_that_the_machine_has_left_says_nothing(asked):
    state = in_phase(answering(), Phase.STARTING)
    recorder, prober = prober_of([state], asked)
    prober.ask()
    moved = replace(state.attempts[0], machine=replace(state.attempts[0].machine, address="http://127.0.0.1:2"))
    recorder.states[state.id] = replace(state, attempts=(moved,))
    prober.collect(until=time.monotonic() + 30)
    assert recorder.recorded == []


def test_an_answer_about_a_replica_that_was_to_end_and_was_kept_meanwhile_says_nothing(asked):
    state, answer = in_phase(answering("m"), Phase.NOT_READY), threading.Event()
    recorder, prober = prober_of([state], asked, lambda _: None if answer.wait(30) else unready("no answer"))
    prober.ask()
    recorder.states[state.id] = in_phase(state, Phase.DRAINING)
    prober.ask()
    recorder.states[state.id] = state
    answer.set()
    prober.collect(until=time.monotonic() + 30)
    assert recorder.recorded == []
    sweep(recorder, prober, 1)
    assert isinstance(recorder.recorded[-1][1], BecameReady)


def test_what_has_no_replica_is_not_probed(asked):
    recorder, prober = prober_of([Story("m").state], asked)
    sweep(recorder, prober, 3)
    assert asked == []


def test_a_key_is_read_once_and_by_the_sweep_itself_however_many_probes_are_under_way(asked):
    state = in_phase(answering(), Phase.STARTING)
    recorder, prober = prober_of([state], asked, lambda _: unready("nothing listens"))
    sweep(recorder, prober, 2)
    prober._log = None  # nobody needs it any more
    sweep(recorder, prober, 2)
    assert {key for _, key in asked} == {"mxk_replica"}
