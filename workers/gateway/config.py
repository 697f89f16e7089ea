"""PURE: renders a layout as HAProxy's configuration and maps."""

import hashlib
import math
from datetime import timedelta

from msgspec import Struct

from workers.gateway import engine_paths, key_rules, source_rules
from workers.gateway.error_bodies import body, quoted
from workers.gateway.routes import Layout, MapName, maps

MAPS: dict[MapName, str] = {
    "keys": "keys.map",
    "routes": "routes.map",
    "replica": "replica.map",
    "ids": "ids.map",
    "limits": "limits.map",
}
"""File of each map, beside the configuration; HAProxy's commands use the same names."""

CONFIG = "haproxy.cfg"
SHAPE_VARIABLE = "MIXTRAL_SHAPE"
CERTIFICATE = "certificate.pem"
HOLD = "hold"
"""Name of the backup server in every backend, which takes requests while no replica is up."""


class Check(Struct, frozen=True, kw_only=True):
    """The health check of a server. A server is down after a number of failed checks in a row: see `fall`."""

    every: timedelta = timedelta(seconds=1)
    again: timedelta = timedelta(seconds=0.5)
    """Pause after a failed check. It is short, so that a replica whose port refuses connections is down within 3 s."""
    timeout: timedelta = timedelta(seconds=5)
    """Time after which a check without an answer has failed."""

    def fall(self, patience: timedelta) -> int:
        """Number of failed checks after which a server is down; without an answer they take at least `patience`."""
        return max(2, math.ceil((patience + self.again) / (self.timeout + self.again)))

    def options(self, patience: timedelta) -> str:
        """HAProxy's options for a server that is added at run time."""
        return f"{self.line} fall {self.fall(patience)}"

    @property
    def line(self) -> str:
        """The options that all servers share."""
        return f"check inter {_ms(self.every)} fastinter {_ms(self.again)} rise 1"


def _ms(time: timedelta) -> str:
    return f"{time / timedelta(milliseconds=1):.0f}ms"


AFFINITY = "x-session-id"
DEPLOYMENT = "x-mixtral-deployment"
INSTALLATION = "x-mixtral-installation"
"""Header of the answers at /health."""
ARRIVED = "x-mixtral-asked"
"""Header with the time of the request's arrival, in milliseconds since 1970; retries do not change it."""


class Shape(Struct, frozen=True, kw_only=True):
    """Settings that are fixed while the gateway runs. Binds have HAProxy's form: `host:port`, `:port`, `[::1]:port`."""

    bind: str
    installation: str = ""
    """The id that /health names; empty if it is not known."""
    hold_socket: str
    """Path of the holding server's socket, as HAProxy resolves it."""
    metrics_bind: str | None = None
    tls: bool = False
    pool: int = 64
    """Number of backends, and so of deployments, before a reload is needed."""
    bufsize: int = 262_144
    """Maximum size of a request that is retried, in bytes; larger ones are sent once.

    A request that waits for its answer uses up to three times this much memory, a streaming one almost none.
    """
    max_held: int = 250
    """Maximum number of requests on hold per deployment; further ones queue in HAProxy."""
    maxconn: int = 8000
    """Maximum number of connections at once."""
    check: Check = Check()


GLOBAL = """\
global
  # Relative names below are files in this file's folder.
  default-path config
  setenv {shape_variable} {digest}
  tune.bufsize {bufsize}
  tune.stick-counters 5
  maxconn {maxconn}
  # Where it may open fewer files than so many connections need, it starts all the same.
  no strict-limits
  # Only ciphers that authenticate what they encrypt; those of TLS 1.3 all do.
  ssl-default-bind-options ssl-min-ver TLSv1.2
  ssl-default-bind-ciphers ECDHE+AESGCM:ECDHE+CHACHA20
  # A second HAProxy on the same address ends; with SO_REUSEPORT it would get a part of the requests.
  noreuseport
  # After a reload, the old process may finish its streams within this time.
  hard-stop-after 1h
"""

DEFAULTS = """
defaults
  mode http
  timeout connect 2s
  # A client may be silent for so long during the TLS handshake, while it sends a long body, and before it reads on.
  # Answers may take longer.
  timeout client 1m
  timeout server 1h
  timeout queue 1m
  # From the first byte, or the connection, to the last header.
  timeout http-request 5s
  timeout http-keep-alive 5m
  # Sends each token without delay.
  option http-no-delay
  # abortonclose would save the answers of clients that have left. It is off because with it HAProxy 2.8 drops requests
  # of a killed replica instead of retrying them (in 3 of 30 kills; without it in 0 of 150).
  # After a reload, an idle client connection is closed with its next answer, so that no request is lost.
  option idle-close-on-response
  balance leastconn
  http-reuse always
  # Retries only what reached no replica, or what no replica has begun to answer.
  retries 3
  option redispatch 1
  retry-on conn-failure empty-response response-timeout 502 503
  # Counts the bytes of a stream every 5 s instead of at its end: they show that a replica works.
  option contstats
  # Any answer passes the check, because a recipe's own server may lack this path. A server error stops new requests
  # and cuts no stream (L7OKC). Only a replica that refuses connections, or does not answer for the time that its recipe
  # allows, counts as down. `fall` is that time in checks, for each server. The gateway then cuts its streams, and not
  # HAProxy (on-marked-down shutdown-sessions), which would drop requests that are about to go to another replica.
  timeout check {timeout}
  option httpchk
  http-check send meth GET uri /health ver HTTP/1.1 hdr host gateway
  http-check expect error-status L7OKC status 100-499
  default-server {check}
"""

FRONTEND = """
frontend endpoint
  bind {bind}
{connections}  http-request return status 200 content-type text/plain string "ok"{installation} if {{ path /health }}
  http-request del-header x-mixtral- -m beg
  http-request set-var(txn.deployment) req.hdr(authorization),word(2,' '),map_str({keys})
{wrong_keys}  http-request return status 401 content-type application/json string {unauthorized} \
hdr www-authenticate Bearer unless {{ var(txn.deployment) -m found }}
{holder}{paths}{rules_of_keys}  http-request set-var(txn.backend) var(txn.deployment),map_str({routes})
  http-request return status 503 content-type application/json string {nowhere} hdr retry-after 5 \
unless {{ var(txn.backend) -m found }}
  http-request set-header authorization "Bearer %[var(txn.deployment),map_str({replica})]"
  http-request set-header {deployment_header} %[var(txn.deployment)]
  http-request set-header {arrived_header} %[date(0,ms)]
  # Forwards a request when it is complete or fills the buffer: one whose beginning was forwarded before
  # its end arrived could not be retried.
  http-request wait-for-body time 1m
  use_backend %[var(txn.backend)]
"""

METRICS = """
frontend metrics
  bind {bind}
  maxconn 100
  http-request use-service prometheus-exporter if {{ path /metrics }}
  http-request return status 404
"""

BACKEND = """
backend {name}
  stick-table type string len 64 size 10k expire 1h
  # A session stays with its replica while its key has no more requests than one replica's share of them: above that,
  # its key would fill that replica alone.
  http-request set-var(txn.above_share) nbsrv,mul(txn.now_at_once),sub(txn.at_once)
  stick on req.hdr({affinity}) unless {{ var(txn.above_share) -m int gt 0 }}
  server {hold} unix@{socket} backup no-check non-stick maxconn {limit}
"""


def digest(shape: Shape, certificate: str) -> str:
    """Hash of all that HAProxy changes only by a reload; HAProxy keeps it in its environment and returns it."""
    fixed = f"{_render(shape, Layout(size=1), '')}{shape.pool}{certificate}"
    return hashlib.sha256(fixed.encode()).hexdigest()


def render(shape: Shape, goal: Layout, certificate: str = "") -> str:
    """The complete configuration, with the replicas that take requests.

    Draining replicas are left out: a new process has no requests on them.
    """
    return _render(shape, goal, digest(shape, certificate))


def _render(shape: Shape, goal: Layout, digest_: str) -> str:
    bind = f"{shape.bind} ssl crt {CERTIFICATE} alpn http/1.1" if shape.tls else shape.bind
    names = {str(name): file for name, file in MAPS.items()}
    parts = [
        GLOBAL.format(bufsize=shape.bufsize, maxconn=shape.maxconn, shape_variable=SHAPE_VARIABLE, digest=digest_),
        DEFAULTS.format(check=shape.check.line, timeout=_ms(shape.check.timeout)),
        *(_failure(*failure) for failure in FAILURES),
        FRONTEND.format(
            bind=bind,
            installation=f" hdr {INSTALLATION} {quoted(_literal(shape.installation))}" if shape.installation else "",
            deployment_header=DEPLOYMENT,
            arrived_header=ARRIVED,
            connections=source_rules.connections(shape.maxconn),
            wrong_keys=source_rules.wrong_keys(),
            holder=source_rules.holder(),
            paths=engine_paths.rule(),
            rules_of_keys=key_rules.rules(ids=MAPS["ids"], limits=MAPS["limits"]),
            unauthorized=quoted(body(UNAUTHORIZED, "invalid_request_error", "invalid_api_key")),
            nowhere=quoted(body(NOWHERE, "server_error", "no_replica")),
            **names,
        ),
        key_rules.table(),
        source_rules.tables(),
        METRICS.format(bind=shape.metrics_bind) if shape.metrics_bind else "",
        *_backends(shape, goal),
    ]
    return "".join(parts)


def rendered_maps(goal: Layout) -> dict[str, str]:
    """Content of each map by file name; the files contain keys."""
    return {
        MAPS[name]: "".join(f"{entry} {value}\n" for entry, value in entries.items())
        for name, entries in maps(goal).items()
    }


def _backends(shape: Shape, goal: Layout) -> list[str]:
    routes = dict(goal.places)
    texts = []
    for n in range(goal.size):
        text = BACKEND.format(
            name=f"b{n}", affinity=AFFINITY, hold=HOLD, socket=shape.hold_socket, limit=shape.max_held
        )
        if route := routes.get(f"b{n}"):
            text += "".join(
                f"  server {s.name} {s.address} fall {shape.check.fall(s.patience)}\n"
                for s in route.servers
                if s.state == "ready"
            )
        texts.append(text)
    return texts


UNAUTHORIZED = (
    "The API key is missing, wrong or revoked. Send `Authorization: Bearer KEY` with the key that the bot gave you."
)
NOWHERE = "No replica is available at the moment. Try again in a few seconds."
BUSY = "No replica answered. Try again in a few seconds."

FAILURES = (
    (400, "The request is not valid HTTP.", "invalid_request_error", "bad_request"),
    (408, "The request did not arrive in time.", "invalid_request_error", "timeout"),
    (502, "The replica closed the connection before it answered. Try again.", "server_error", "replica_broke_off"),
    (503, BUSY, "server_error", "no_replica"),
    (504, "The replica took too long to answer.", "server_error", "replica_too_slow"),
)
"""Errors that HAProxy itself returns, as status, message, type and code of OpenAI's error format."""


def _failure(status: int, sentence: str, kind: str, code: str) -> str:
    retry = " hdr retry-after 5" if status == 503 else ""  # noqa: PLR2004 - Service Unavailable
    answer = quoted(body(sentence, kind, code))
    return f"  http-error status {status} content-type application/json string {answer}{retry}\n"


def _literal(text: str) -> str:
    """The text, escaped for HAProxy's formats; characters that a header or quotes cannot contain are replaced."""
    return "".join(c if c.isascii() and c.isprintable() and c != "'" else "?" for c in text).replace("%", "%%")
