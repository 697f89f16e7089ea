"""The queue of an engine, against a small server that answers as told."""

import asyncio
import sys
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from workers.sandbox.valkey import free_port
from workers.serving import metrics
from workers.serving.metrics import computes, tokens, waiting, waiting_in

KEY = "mxk_test"
VLLM = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 37.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 12.0
vllm:num_requests_waiting{engine="1",model_name="a \\"strange\\" } name"} 3.0
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 9.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="deferred"} 3.0
"""
LLAMACPP = """# HELP llamacpp:requests_processing Number of requests processing.
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 4
# HELP llamacpp:requests_deferred Number of requests deferred.
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 46
"""


class Engine:
    """Answers every request with `status` and `body`, a piece every `pause` seconds."""

    def __init__(self):
        self.status, self.body, self.pause, self.asked = 200, VLLM.encode(), 0.0, []
        self.ended = threading.Event()
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                engine.asked.append((self.path, self.headers["Authorization"]))
                self.send_response(engine.status)
                self.end_headers()
                if not engine.pause:
                    self.wfile.write(engine.body)
                while engine.pause and not engine.ended.wait(engine.pause):
                    try:
                        self.wfile.write(b"#\n")
                    except OSError:
                        return

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    monkeypatch.setattr(metrics, "TIMEOUT", timedelta(seconds=60))


@pytest.fixture
def engine():
    engine = Engine()
    yield engine
    engine.ended.set()
    engine.server.shutdown()
    engine.server.server_close()
    engine.thread.join()


def test_vllm_s_engine_cores_are_added_up_and_its_reasons_not_counted_again():
    assert waiting_in(VLLM) == 15


def test_llamacpp_s_deferred_requests_are_those_that_wait():
    assert waiting_in(LLAMACPP) == 46


@pytest.mark.parametrize(
    "text", ["", "hello", "<html>", "# TYPE vllm:num_requests_waiting gauge\n", "vllm:num_requests_waiting NaN\n"]
)
def test_a_page_without_a_queue_tells_none(text):
    assert waiting_in(text) is None


def test_an_empty_queue_is_a_queue():
    assert waiting_in("vllm:num_requests_waiting 0.0\n") == 0


def test_an_engine_is_asked_with_its_key(engine):
    assert asyncio.run(waiting(engine.address, key=KEY, within=timedelta(seconds=60))) == 15
    assert engine.asked == [("/metrics", f"Bearer {KEY}")]


@pytest.mark.parametrize(
    ("status", "body"),
    [(401, VLLM), (404, "Not Found"), (200, "vllm:num_requests_waiting{ what\n"), (200, "vllm:num_requests_waiting x")],
)
def test_an_engine_that_does_not_tell_has_no_queue(engine, status, body):
    engine.status, engine.body = status, body.encode()
    assert asyncio.run(waiting(engine.address, key=KEY)) is None


def test_a_page_that_is_no_text_has_no_queue(engine):
    engine.body = b"\xff\xfe\x00" * 100
    assert asyncio.run(waiting(engine.address, key=KEY)) is None


def test_a_page_without_an_end_is_not_read_to_it(engine, monkeypatch):
    monkeypatch.setattr(metrics, "MAX_BYTES", 50)
    assert asyncio.run(waiting(engine.address, key=KEY)) is None


def test_an_engine_that_drips_is_given_up_in_time(engine):
    engine.pause = 0.05
    assert asyncio.run(waiting(engine.address, key=KEY, within=timedelta(seconds=0.3))) is None


def test_an_engine_that_hangs_is_given_up_in_time():
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as silent:
        address = f"http://127.0.0.1:{silent.server_port}"
        assert asyncio.run(waiting(address, key=KEY, within=timedelta(seconds=0.2))) is None


def test_nobody_there_has_no_queue():
    assert asyncio.run(waiting(f"http://127.0.0.1:{free_port()}", key=KEY)) is None


def test_an_address_that_is_none_has_no_queue():
    assert asyncio.run(waiting("http://[nobody", key=KEY)) is None


@pytest.mark.parametrize(
    ("counted", "grows"),
    [
        (["vllm:generation_tokens_total 10", "vllm:generation_tokens_total 12"], True),
        (["vllm:prompt_tokens_total 10\nvllm:generation_tokens_total 5"] * 2, False),
        (["llamacpp:n_decode_total 10", "llamacpp:n_decode_total 11"], True),
        (["vllm:generation_tokens_total 10", "vllm:generation_tokens_total 0"], False),
        (["vllm:num_requests_running 2", "vllm:num_requests_running 3"], False),
        (["vllm:generation_tokens_total 1", "vllm:generation_tokens_total x"], False),
    ],
)
def test_an_engine_computes_if_its_tokens_grow_between_two_readings(engine, counted, grows):
    bodies = iter(counted)

    class Changing(list):
        def append(self, asked):
            engine.body = next(bodies).encode() + b"\n"

    engine.asked = Changing()
    assert asyncio.run(computes(engine.address, key=KEY, between=timedelta(seconds=0.01))) == grows


def test_an_engine_that_does_not_answer_computes_nothing(engine):
    engine.status = 401
    assert not asyncio.run(computes(engine.address, key=KEY, between=timedelta()))
    assert not asyncio.run(computes("http://127.0.0.1:1", key=KEY, between=timedelta()))


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (
            (
                'vllm:prompt_tokens_total{engine="0"} 1.5e+03\nvllm:prompt_tokens_total{engine="1"} 500\n'
                'vllm:generation_tokens_total{engine="0"} 7\nvllm:prompt_tokens_created{engine="0"} 1.7e+09\n'
            ),
            (2000, 7),
        ),
        ("llamacpp:prompt_tokens_total 12\nllamacpp:tokens_predicted_total 34\n", (12, 34)),
        (VLLM, None),
        ("vllm:prompt_tokens_total 1\nvllm:generation_tokens_total nonsense\n", None),
    ],
)
def test_the_tokens_since_the_start_of_an_engine_are_read(engine, said, read):
    engine.body = said.encode()
    assert asyncio.run(tokens(engine.address, key=KEY)) == read
    engine.status = 404
    assert asyncio.run(tokens(engine.address, key=KEY)) is None


@pytest.mark.parametrize(
    "line",
    [
        "vllm:num_requests_waiting{, =\\a+} ++\\",
        'vllm:num_requests_waiting{engine="0} 1',
        'vllm:num_requests_waiting{engine="0"',
        "vllm:num_requests_waiting 1_000",
        "vllm:num_requests_waiting",
    ],
)
def test_a_line_that_cannot_be_parsed_is_an_engine_that_does_not_tell(line):
    with pytest.raises(ValueError, match="cannot be parsed"):
        waiting_in(f"{VLLM}{line}\n")


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("vllm:num_requests_waiting{} 7", 7),
        ("vllm:num_requests_waiting\t+7.0e0  1700000000000\r", 7),
        ('vllm:num_requests_waiting {engine="0",model_name="\\\\"}7', 7),
        ('vllm:num_requests_waiting{model_name="{}, \\"x\\" #"} 7 # {trace="1"} 2', 7),
        ("vllm:num_requests_waiting +Inf", None),
        ("vllm:num_requests_waiting:created 7", None),
    ],
)
def test_a_sample_is_read_with_whatever_the_text_format_allows(line, count):
    assert waiting_in(f"# a page\n{line}\n") == count


def test_samples_whose_sum_no_number_holds_tell_nothing():
    with pytest.raises(ValueError, match="too large"):
        waiting_in("vllm:num_requests_waiting 1e308\n" * 2)


HOSTILE = {
    "many labels": lambda n: "vllm:num_requests_waiting{" + 'a="b",' * (n // 6) + "} 1\n",
    "escaped quotes": lambda n: 'vllm:num_requests_waiting{a="' + '\\"' * (n // 2) + '"} 1\n',
    "quotes without an end": lambda n: "vllm:num_requests_waiting{" + '"a"' * (n // 3) + "\n",
    "backslashes": lambda n: 'vllm:num_requests_waiting{a="' + "\\" * n + "\n",
    "blanks": lambda n: "vllm:num_requests_waiting" + " " * n + "\n",
    "a long number": lambda n: "vllm:num_requests_waiting " + "9" * n + "\n",
    "many samples": lambda n: "vllm:num_requests_waiting 1\n" * (n // 28),
}


@pytest.mark.parametrize("page", HOSTILE.values(), ids=HOSTILE)
def test_a_page_made_to_occupy_the_parser_takes_few_steps(page):
    """The parser runs on the event loop of all probes. Every call counts as a step, of C functions too."""
    steps = 0

    def count(*_):
        nonlocal steps
        steps += 1

    text = page(100_000)
    sys.setprofile(count)
    try:
        waiting_in(text)
    except ValueError:
        pass
    finally:
        sys.setprofile(None)
    assert steps < 10 * metrics.MAX_SAMPLES + 1000


@pytest.mark.parametrize("page", HOSTILE.values(), ids=HOSTILE)
def test_the_longest_page_made_to_occupy_the_parser_is_read_to_its_end(engine, page):
    engine.body = page(metrics.MAX_BYTES - 100).encode()
    assert asyncio.run(waiting(engine.address, key=KEY)) in (None, 1)


def test_more_samples_than_an_engine_has_are_not_added_up():
    line = "vllm:num_requests_waiting 1\n"
    assert waiting_in(line * metrics.MAX_SAMPLES) == metrics.MAX_SAMPLES
    with pytest.raises(ValueError, match="samples"):
        waiting_in(line * (metrics.MAX_SAMPLES + 1))
