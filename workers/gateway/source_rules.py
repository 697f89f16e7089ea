"""PURE: HAProxy's rules about where connections come from: limits before a key is shown, and counts of wrong keys."""

from workers.gateway.error_bodies import body, quoted

SOURCE_TABLE = "sources"
"""HAProxy's table with the connections and the wrong keys of each source."""
HOLDER_TABLE = "holders"
"""HAProxy's table of the sources from which a valid key came, with the number of the newest one."""
SHARE_TABLE = "shares"
"""HAProxy's table with the connections of all sources with the same key, by its number; 0: of those without one."""

KEY_NUMBER = "req.hdr(authorization),word(2,' '),xxh32"
"""The number of a key. By it all sources of one key have one share of the connections."""

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
  # A source that showed a valid key within {kept} may use a quarter of all connections, and so may all sources together
  # that showed the same one: else one key would take all from four addresses. Other sources may have {few} each, and
  # half of all together: the rest is a reserve for who has a key.
  tcp-request connection track-sc1 {source} table {sources}
  tcp-request connection set-var(sess.key) {source},table_gpt0({holders})
  # Where that share is used up, the connection is one without a key: another key may be shown on it.
  tcp-request connection set-var(sess.key) int(0) if {{ var(sess.key),table_conn_cur({shares}) ge {quarter} }}
  acl holder var(sess.key) -m int gt 0
  tcp-request connection reject if {{ sc_conn_cur(1) gt {quarter} }}
  tcp-request connection reject if {{ sc_conn_cur(1) gt {few} }} !holder
  tcp-request connection reject if {{ sc_conn_rate(1) gt {rate} }} !holder
  tcp-request connection track-sc4 var(sess.key) table {shares}
  tcp-request connection reject if {{ sc_conn_cur(4) gt {half} }}
"""

WITHOUT_KEY = """\
  # A request without a valid key is the last one of its connection. So is the first one with a key of a source: the
  # connection began as one without, and must not keep a place of theirs. Only HTTP/1.1 can be closed so.
  option disable-h2-upgrade
  http-after-response set-header connection close unless {{ var(txn.deployment) -m found }} holder
"""

WRONG = """\
  acl known var(txn.deployment) -m found
  http-request sc-inc-gpc0(1) if !known {{ req.hdr(authorization) -m found }}
  http-request return status 429 content-type application/json string {too_many} hdr retry-after 60 \
if !known {{ sc_gpc0_rate(1) gt {wrong} }}
"""

HOLDER = """\
  http-request track-sc2 {source} table {holders}
  http-request sc-set-gpt0(2) {number}
"""

TABLES = """
backend {sources}
  stick-table type ipv6 size 50k expire {counted} store conn_cur,conn_rate(10s),gpc0,gpc0_rate(1m)

backend {shares}
  stick-table type integer size 10k expire {counted} store conn_cur

backend {holders}
  stick-table type ipv6 size 50k expire {kept} store gpt0
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
        shares=SHARE_TABLE,
        kept=HOLDER_KEPT,
        few=min(MOST_OF_STRANGER, maxconn // 4),
        rate=MOST_IN_10_S,
        quarter=maxconn // 4,
        half=maxconn // 2,
    )
    return rules + WITHOUT_KEY.format()


def wrong_keys() -> str:
    """Rules for the frontend, after `txn.deployment` is set and before the answer 401."""
    too_many = quoted(body(TOO_MANY, "invalid_request_error", "too_many_wrong_keys"))
    return WRONG.format(too_many=too_many, wrong=MOST_WRONG)


def holder() -> str:
    """Rule for the frontend, after the answer 401."""
    return HOLDER.format(source=SOURCE, holders=HOLDER_TABLE, number=KEY_NUMBER)


def tables() -> str:
    return TABLES.format(
        sources=SOURCE_TABLE, shares=SHARE_TABLE, holders=HOLDER_TABLE, counted=COUNTED_FOR, kept=HOLDER_KEPT
    )
