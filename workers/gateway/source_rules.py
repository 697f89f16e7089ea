"""PURE: HAProxy's rules about where connections come from: limits before a key is shown, and counts of wrong keys."""

from workers.gateway.error_bodies import body, quoted

SOURCE_TABLE = "sources"
"""HAProxy's table with the connections and the wrong keys of each source."""
STRANGER_TABLE = "strangers"
"""HAProxy's table with one entry: the connections of all sources from which no valid key had come when they began."""
HOLDER_TABLE = "holders"
"""HAProxy's table of the sources from which a valid key came."""

SOURCE = "src,ipmask(32,64)"
"""What counts as one source: an IPv4 address, or the first 64 bits of an IPv6 address."""

MOST_OF_STRANGER = 256
"""Connections of a source from which no valid key came within `HOLDER_KEPT`."""
MOST_IN_10_S = 20_000
"""Connections of such a source within 10 seconds. They are short: many clients open one for each request."""
MOST_WRONG = 300
"""Wrong keys of a source within a minute; to further ones the answer is 429."""
WRONG_TOLD = 100
"""Wrong keys of a source from which on the admins are told."""
HOLDER_KEPT = "24h"
COUNTED_FOR = "1h"
"""Time after its last connection at which the counts of a source are forgotten."""

CONNECTIONS = """\
  # A source that showed a valid key within {kept} may use a quarter of all connections. Other sources may have {few}
  # each, and half of all together, beside those of sources with a key: the rest is a reserve for who has a key.
  tcp-request connection track-sc1 {source} table {sources}
  tcp-request connection set-var(sess.holder) {source},in_table({holders})
  tcp-request connection reject if {{ sc_conn_cur(1) gt {of_holder} }}
  tcp-request connection reject if {{ sc_conn_cur(1) gt {few} }} !{{ var(sess.holder) -m bool }}
  tcp-request connection reject if {{ sc_conn_rate(1) gt {rate} }} !{{ var(sess.holder) -m bool }}
  tcp-request connection track-sc4 int(1) table {strangers} if !{{ var(sess.holder) -m bool }}
  tcp-request connection reject if {{ sc_conn_cur(4) gt {of_strangers} }}
"""

WITHOUT_KEY = """\
  # A request without a valid key is the last one of its connection. Only HTTP/1.1 can be closed so.
  option disable-h2-upgrade
  http-after-response set-header connection close unless {{ var(txn.deployment) -m found }}
"""

WRONG = """\
  acl known var(txn.deployment) -m found
  http-request sc-inc-gpc0(1) if !known {{ req.hdr(authorization) -m found }}
  http-request return status 429 content-type application/json string {too_many} hdr retry-after 60 \
if !known {{ sc_gpc0_rate(1) gt {wrong} }}
"""

HOLDER = "  http-request track-sc2 {source} table {holders}\n"

TABLES = """
backend {sources}
  stick-table type ipv6 size 50k expire {counted} store conn_cur,conn_rate(10s),gpc0,gpc0_rate(1m)

backend {strangers}
  stick-table type integer size 1 expire {counted} store conn_cur

backend {holders}
  stick-table type ipv6 size 50k expire {kept}
"""

TOO_MANY = (
    "Too many requests with a wrong key came from this address. Send `Authorization: Bearer KEY` with the key that the "
    "bot gave you, and repeat the request after a minute."
)


def connections(maxconn: int) -> str:
    """Rules for the frontend, which apply before a connection has sent anything. `maxconn`: HAProxy's limit."""
    rules = CONNECTIONS.format(
        source=SOURCE,
        sources=SOURCE_TABLE,
        holders=HOLDER_TABLE,
        strangers=STRANGER_TABLE,
        kept=HOLDER_KEPT,
        few=min(MOST_OF_STRANGER, maxconn // 4),
        rate=MOST_IN_10_S,
        of_holder=maxconn // 4,
        of_strangers=maxconn // 2,
    )
    return rules + WITHOUT_KEY.format()


def wrong_keys() -> str:
    """Rules for the frontend, after `txn.deployment` is set and before the answer 401."""
    too_many = quoted(body(TOO_MANY, "invalid_request_error", "too_many_wrong_keys"))
    return WRONG.format(too_many=too_many, wrong=MOST_WRONG)


def holder() -> str:
    """Rule for the frontend, after the answer 401."""
    return HOLDER.format(source=SOURCE, holders=HOLDER_TABLE)


def tables() -> str:
    return TABLES.format(
        sources=SOURCE_TABLE, strangers=STRANGER_TABLE, holders=HOLDER_TABLE, counted=COUNTED_FOR, kept=HOLDER_KEPT
    )
