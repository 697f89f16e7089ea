"""An engine without a model, for load and crash tests: `python -m workers.serving.scripted`."""

import argparse
import contextlib
import hmac
import itertools
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from workers.serving.script import BadRequest, Script, Way, chunks, error, models, tokenized, whole, words

ENDING = {signal.SIGTERM, signal.SIGINT}


class Server(ThreadingHTTPServer):
    """One thread for each connection; all end with the process."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], script: Script, key: str) -> None:
        self.script = script
        self.key = key
        self.slot = threading.Semaphore(script.slots) if script.slots else contextlib.nullcontext()
        self.loop = threading.Lock()
        """Held while the engine answers nothing, as one that computes in its event loop."""
        self._asked = itertools.count(1)
        super().__init__(address, Handler)

    def fails(self) -> bool:
        """Whether the current completion is to fail. Each call counts one completion."""
        return bool(self.script.fail_every) and next(self._asked) % self.script.fail_every == 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect; report all other errors."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        with self.server.loop:
            pass
        if self.path == "/health":
            self._answer(200, {"status": "ok"})
        elif not self._key_is_right():
            self._answer(401, error(401, "Unauthorized"))
        elif self.path == "/v1/models":
            self._answer(200, models(self.server.script))
        else:
            self._answer(404, error(404, "Not Found"))

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        ways: dict[str, Way] = {"/v1/completions": "completions", "/v1/chat/completions": "chat/completions"}
        way = ways.get(self.path)
        if not self._key_is_right():
            self._answer(401, error(401, "Unauthorized"))
        elif self.path == "/tokenize":
            self._answer(200, tokenized(self.server.script, json.loads(content)))
        elif way is None:
            self._answer(404, error(404, "Not Found"))
        else:
            with self.server.slot:
                self._complete(way, content)

    def log_message(self, *_: Any) -> None:
        """Log nothing: a load test would fill the log."""

    def _complete(self, way: Way, content: bytes) -> None:
        script = self.server.script
        try:
            body = json.loads(content)
            tokens = words(script, way, body)
        except BadRequest as refused:
            self._answer(refused.status, error(refused.status, str(refused)))
            return
        except ValueError as broken:
            self._answer(400, error(400, f"The body is not JSON: {broken}"))
            return
        time.sleep(script.latency)
        with self.server.loop:
            time.sleep(script.blocks)
        if self.server.fails():
            self._answer(500, error(500, "failure requested by --fail-every"))
            return
        if body.get("stream"):
            self._stream(way, body, tokens)
        else:
            time.sleep(self._pause() * len(tokens))
            self._answer(200, whole(script, way, body, tokens))

    def _stream(self, way: Way, body: dict[str, Any], tokens: list[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in chunks(self.server.script, way, body, tokens):
            self._event(json.dumps(chunk))
            time.sleep(self._pause())
        self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))

    def _pause(self) -> float:
        return 1 / self.server.script.tokens_per_s if self.server.script.tokens_per_s else 0.0

    def _key_is_right(self) -> bool:
        given = self.headers.get("Authorization", "").encode()
        return hmac.compare_digest(given, f"Bearer {self.server.key}".encode())

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def options(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="workers.serving.scripted", allow_abbrev=False)
    parser.add_argument("--model", help="accepted and ignored")
    parser.add_argument("--served-model-name", nargs="+", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--text", help="text of the answers, repeated; each word is one token")
    parser.add_argument("--length", type=int, help="maximum number of tokens of an answer")
    parser.add_argument("--latency", type=float, help="seconds before the first token")
    parser.add_argument("--tokens-per-s", type=float, help="0 for no delay")
    parser.add_argument("--answer-nothing", action="store_true", help="answers contain no text")
    parser.add_argument("--thoughts", type=int, help="tokens of thoughts before each streamed answer")
    parser.add_argument("--context", type=int, help="context length in tokens")
    parser.add_argument("--slots", type=int, help="completions at a time; further ones wait")
    parser.add_argument("--blocks", type=float, help="seconds for which a completion blocks all other answers")
    parser.add_argument("--api-key", help="the key that it asks for, instead of VLLM_API_KEY")
    parser.add_argument("--fail-every", type=int, help="every n-th completion answers 500")
    parser.add_argument("--start-after", type=float, default=0.0, help="seconds before it listens")
    parser.add_argument("--fail-start", nargs="?", const="failure requested", help="exit with this message")
    parser.add_argument("--exit-after", type=float, help="seconds after which it exits with an error")
    return parser.parse_args(argv)


def script_of(arguments: argparse.Namespace) -> Script:
    """The script for these options."""
    names = ("text", "length", "latency", "tokens_per_s", "fail_every", "slots", "blocks", "thoughts", "context")
    given = {name: getattr(arguments, name) for name in names}
    settings = {name: value for name, value in given.items() if value is not None}
    return Script(names=tuple(arguments.served_model_name), silent=arguments.answer_nothing, **settings)


def main() -> None:
    arguments = options(sys.argv[1:])
    key = os.environ.pop("VLLM_API_KEY", "")
    if not key:
        sys.exit("scripted: VLLM_API_KEY is not set, and an engine is never started without a key.")
    if arguments.fail_start:
        sys.exit(f"scripted: {arguments.fail_start}")
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    if signal.sigtimedwait(ENDING, arguments.start_after):
        return
    server = Server((arguments.host, arguments.port), script_of(arguments), arguments.api_key or key)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"serving {' and '.join(arguments.served_model_name)} by script on port {arguments.port}\n")
    sys.stdout.flush()
    if arguments.exit_after is None:
        signal.sigwait(ENDING)
    elif not signal.sigtimedwait(ENDING, arguments.exit_after):
        sys.exit("scripted: exit requested by --exit-after")


if __name__ == "__main__":
    main()
