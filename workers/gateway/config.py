"""PURE: a layout -> HAProxy's configuration and its maps."""

import hashlib
import json

from msgspec import Struct

from workers.gateway.routes import Layout, MapName, maps

MAPS: dict[MapName, str] = {"keys": "keys.map", "routes": "routes.map", "replica": "replica.map"}
"""Files beside the configuration; HAProxy knows the maps by these names."""

CONFIG = "haproxy.cfg"
SHAPE_VARIABLE = "MIXTRAL_SHAPE"
CERTIFICATE = "certificate.pem"
HOLD = "hold"
"""The name of the server, in every backend, that takes requests as long as no replica is up."""

CHECK = "check inter 1s fall 3 rise 1 on-marked-down shutdown-sessions"

AFFINITY = "x-session-id"
DEPLOYMENT = "x-mixtral-deployment"
ASKED = "x-mixtral-asked"
"""When the request came in, in milliseconds since 1970: the same however often it is tried."""


class Shape(Struct, frozen=True, kw_only=True):
    """What does not change while the gateway runs. Binds are HAProxy's: `host:port`, `:port`, `[::1]:port`."""

    bind: str
    hold_socket: str
    """Where the holding server listens, as HAProxy sees the path."""
    metrics_bind: str | None = None
    tls: bool = False
    pool: int = 64
    """Backends, so deployments, before the first reload."""
    bufsize: int = 262_144
    """Bytes of a request that can be sent a second time; larger ones pass and are not retried.

    A request that waits for its answer takes up to three times this much memory, one that streams next to none.
    """
    held_at_most: int = 250
    """Requests that one deployment may have on hold; further ones queue in HAProxy."""


GLOBAL = """\
global
  # Relative names below are files beside this one.
  default-path config
  setenv {shape_variable} {digest}
  tune.bufsize {bufsize}
  # What an older process still streams after a reload is not cut sooner.
  hard-stop-after 1h
"""

DEFAULTS = """
defaults
  mode http
  timeout connect 2s
  timeout client 1h
  timeout server 1h
  timeout queue 1m
  timeout http-request 1m
  timeout http-keep-alive 5m
  # A token is sent on as it comes.
  option http-no-delay
  # No abortonclose, though nobody needs the answer of a client that has left: with it, HAProxy 2.8 hangs up on the
  # requests of a replica that is killed (in 3 of 30 kills; without it in 0 of 150).
  # On a reload a client that keeps its connection is told so with its next answer, and loses none.
  option idle-close-on-response
  balance leastconn
  http-reuse always
  # A request goes on when all of it is here, or as much as the buffer holds: one whose end came
  # after its beginning had been sent on could not be asked again.
  option http-buffer-request
  # Only what reached no replica, or what no replica has begun to answer, is asked again.
  retries 3
  option redispatch 1
  retry-on conn-failure empty-response response-timeout 502 503
  # Alive is who answers at all: a recipe's own server may lack this path. Whoever is silent for longer than three
  # checks counts as frozen, and what it streams is cut: an engine that is only busy has to be let off.
  timeout check 2s
  option httpchk
  http-check send meth GET uri /health ver HTTP/1.1 hdr host gateway
  http-check expect status 100-499
  default-server {check}
"""

FRONTEND = """
frontend endpoint
  bind {bind}
  http-request return status 200 content-type text/plain string "ok" if {{ path /health }}
  http-request del-header x-mixtral- -m beg
  http-request set-var(txn.deployment) req.hdr(authorization),word(2,' '),map_str({keys})
  http-request return status 401 content-type application/json string {unauthorized} hdr www-authenticate Bearer \
unless {{ var(txn.deployment) -m found }}
  http-request set-var(txn.backend) var(txn.deployment),map_str({routes})
  http-request return status 503 content-type application/json string {nowhere} hdr retry-after 5 \
unless {{ var(txn.backend) -m found }}
  http-request set-header authorization "Bearer %[var(txn.deployment),map_str({replica})]"
  http-request set-header {deployment_header} %[var(txn.deployment)]
  http-request set-header {asked_header} %[date(0,ms)]
  use_backend %[var(txn.backend)]
"""

METRICS = """
frontend metrics
  bind {bind}
  http-request use-service prometheus-exporter if {{ path /metrics }}
  http-request return status 404
"""

BACKEND = """
backend {name}
  stick-table type string len 64 size 10k expire 1h
  stick on req.hdr({affinity})
  server {hold} unix@{socket} backup no-check non-stick maxconn {most}
"""


def digest(shape: Shape, certificate: str) -> str:
    """Names what HAProxy takes over by a reload only; HAProxy tells it, so that nobody has to remember it."""
    fixed = f"{_render(shape, Layout(size=1), '')}{shape.pool}{certificate}"
    return hashlib.sha256(fixed.encode()).hexdigest()


def render(shape: Shape, goal: Layout, certificate: str = "") -> str:
    """The whole configuration, with the replicas that take requests.

    Those that drain are left out: only a process that is there already has anything to finish on them.
    """
    return _render(shape, goal, digest(shape, certificate))


def _render(shape: Shape, goal: Layout, named: str) -> str:
    bind = f"{shape.bind} ssl crt {CERTIFICATE} alpn h2,http/1.1" if shape.tls else shape.bind
    names = {str(name): file for name, file in MAPS.items()}
    parts = [
        GLOBAL.format(bufsize=shape.bufsize, shape_variable=SHAPE_VARIABLE, digest=named),
        DEFAULTS.format(check=CHECK),
        *(_failure(*failure) for failure in FAILURES),
        FRONTEND.format(
            bind=bind,
            deployment_header=DEPLOYMENT,
            asked_header=ASKED,
            unauthorized=_quoted(_body(UNAUTHORIZED, "invalid_request_error", "invalid_api_key")),
            nowhere=_quoted(_body(NOWHERE, "server_error", "no_replica")),
            **names,
        ),
        METRICS.format(bind=shape.metrics_bind) if shape.metrics_bind else "",
        *_backends(shape, goal),
    ]
    return "".join(parts)


def rendered_maps(goal: Layout) -> dict[str, str]:
    """File name to content; the files hold keys."""
    return {
        MAPS[name]: "".join(f"{entry} {value}\n" for entry, value in entries.items())
        for name, entries in maps(goal).items()
    }


def _backends(shape: Shape, goal: Layout) -> list[str]:
    routes = dict(goal.places)
    texts = []
    for n in range(goal.size):
        text = BACKEND.format(
            name=f"b{n}", affinity=AFFINITY, hold=HOLD, socket=shape.hold_socket, most=shape.held_at_most
        )
        if route := routes.get(f"b{n}"):
            text += "".join(f"  server {s.name} {s.address}\n" for s in route.servers if s.state == "ready")
        texts.append(text)
    return texts


UNAUTHORIZED = (
    "This key opens nothing here: it is missing, wrong or revoked. Send `Authorization: Bearer KEY` "
    "with the key that the bot gave you."
)
NOWHERE = "No replica can answer right now. Try again in a few seconds."
BUSY = "No replica answered. Try again in a few seconds."

FAILURES = (
    (400, "This is no HTTP request that can be read.", "invalid_request_error", "bad_request"),
    (408, "The request did not arrive in time.", "invalid_request_error", "timeout"),
    (502, "The replica broke off before it answered. Try again.", "server_error", "replica_broke_off"),
    (503, BUSY, "server_error", "no_replica"),
    (504, "The replica took too long to answer.", "server_error", "replica_too_slow"),
)
"""What HAProxy answers by itself, in the form that OpenAI's clients read."""


def _failure(status: int, sentence: str, kind: str, code: str) -> str:
    retry = " hdr retry-after 5" if status == 503 else ""  # noqa: PLR2004 - Service Unavailable
    body = _quoted(_body(sentence, kind, code))
    return f"  http-error status {status} content-type application/json string {body}{retry}\n"


def _body(sentence: str, kind: str, code: str) -> str:
    return json.dumps({"error": {"message": sentence, "type": kind, "param": None, "code": code}})


def _quoted(text: str) -> str:
    """In HAProxy's strong quotes, where all but the quote itself stands for itself; no sentence above holds one."""
    return f"'{text}'"
