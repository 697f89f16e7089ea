"""PURE: HAProxy's rules that count the use of each key, and answer 429 over its limits."""

from datetime import timedelta
from typing import NamedTuple

from workers.gateway.error_bodies import body, quoted

KEY_TABLE = "key_uses"
"""HAProxy's table with the use of each key. Its entries are named by the deployment and the key's id, not by the key.

A reload of HAProxy empties it, and does not count the streams that the replaced process finishes.
"""
STREAM_TABLE = "streams"
"""HAProxy's table with the client connections of each key: `<deployment>/<id>/<address>:<port>`.

By it the streams of a revoked key are found.
"""
KEY_KEPT = timedelta(minutes=10)
"""Time after its last request at which HAProxy forgets the use of a key."""


class Answer(NamedTuple):
    """The answer over one limit."""

    limit: str
    """Field of `KeyLimits`."""
    over: str
    """HAProxy's condition on what is left."""
    after: int
    """Seconds of Retry-After."""
    sentence: str


ANSWERS = (
    Answer(
        limit="at_once",
        over="lt 0",  # the present request is counted already
        after=5,
        sentence="This key may have %[var(txn.at_once)] requests at once (limit at_once), and has as many. "
        "Send the next one when one of its answers has ended.",
    ),
    Answer(
        limit="requests_per_minute",
        over="le 0",
        after=30,  # OpenAI's client repeats twice by default, and so outlasts the minute
        sentence="This key may send %[var(txn.requests_per_minute)] requests per minute (limit requests_per_minute), "
        "and has sent as many. Wait for a minute, or send fewer.",
    ),
    Answer(
        limit="bytes_per_minute",
        over="le 0",
        after=30,
        sentence="This key may receive %[var(txn.bytes_per_minute)] bytes of answers per minute "
        "(limit bytes_per_minute), and has received as many. Wait for a minute, or ask for shorter answers.",
    ),
)

COUNTED = """\
  # Counts the use of each key that has an id, under that id. A request is one at once until its answer has ended.
  http-request set-var(txn.key) req.hdr(authorization),word(2,' '),map_str({ids})
  http-request track-sc0 var(txn.key) table {table}
  http-request set-var-fmt(txn.stream) "%[var(txn.key)]/%[src]:%[src_port]" if {{ var(txn.key) -m found }}
  http-request track-sc3 var(txn.stream) table {streams}
  http-request set-var(txn.now_at_once) sc_conn_cur(0,{table})
  http-request set-var(txn.now_requests_per_minute) sc_gpc_rate(0,0,{table})
  http-request set-var(txn.now_bytes_per_minute) sc_bytes_out_rate(0,{table})
"""

LIMITED = """\
  http-request set-var(txn.{limit}) var(txn.deployment),concat(/{limit}),map_str_int({limits})
  acl over_{limit} var(txn.{limit}),sub(txn.now_{limit}) -m int {over}
  http-request sc-inc-gpc(1,0) if over_{limit}
  http-request return status 429 content-type application/json lf-string {refused} hdr retry-after {after} \
if over_{limit}
"""

ADMITTED = """\
  # Refused requests do not count as sent: a key that sends too many gets as many as its limit, instead of none.
  http-request sc-inc-gpc(0,0)
"""

TABLE = """
backend {table}
  stick-table type string len 64 size 10k expire {kept}s store conn_cur,gpc(2),gpc_rate(2,1m),bytes_out_rate(1m)

backend {streams}
  stick-table type string len 128 size 50k expire 10s store conn_cur
"""


def rules(*, ids: str, limits: str) -> str:
    """Rules for the frontend, after `txn.deployment` is set. `ids`, `limits`: files of these maps."""
    limited = (
        LIMITED.format(
            limits=limits,
            refused=quoted(body(answer.sentence, "rate_limit_exceeded", "rate_limit_exceeded")),
            **answer._asdict(),
        )
        for answer in ANSWERS
    )
    return "".join((COUNTED.format(ids=ids, table=KEY_TABLE, streams=STREAM_TABLE), *limited, ADMITTED))


def table() -> str:
    """The backend without servers that has the table. HAProxy discards the oldest entries of a full one."""
    return TABLE.format(table=KEY_TABLE, streams=STREAM_TABLE, kept=f"{KEY_KEPT.total_seconds():.0f}")
