"""Observes HAProxy under load: the server of each request, and when each server got its first request."""

import contextlib
import csv
import re
import threading
import time

from workers.gateway.errors import GatewayDown
from workers.gateway.haproxy import SOCKET
from workers.gateway.haproxy_cli import CURRENT, Cli

EVERY = 0.1
"""Interval of the looks, in seconds. Streams last longer, so that none is missed."""

SESSION = re.compile(r"src=[^ ]*:(\d+) fe=endpoint be=b\d+ srv=(r\d+) ")


class Observed:
    """Polls HAProxy's command line from a thread of its own. A context manager."""

    def __init__(self, folder):
        """`folder`: the gateway's folder."""
        self._cli = Cli(folder / SOCKET)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._servers_of = {}
        self.first = {}
        """Server name -> time of the last look at which it had no request yet, in seconds since 1970.

        Under load the looks come late. A request was not there before that look, and may have come right after it.
        """
        self._looked = 0.0
        self.aborted = {}
        """Number of answers that a server broke off, at the last look."""

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._over.set()
        self._thread.join()

    def server_of(self, answer):
        """The server of a request at its end; None if no look saw the request on a server."""
        seen = self._servers_of.get(answer.port, ())
        during = [server for at, server in seen if answer.began <= at <= answer.ended + EVERY]
        return during[-1] if during else None

    def streams_on(self, server, at, streams):
        """Those of `streams` that were on a server at a time."""
        return [s for s in streams if s.began < at < s.ended and self.server_of(s) == server]

    def _look_on(self):
        while not self._over.wait(EVERY):
            with contextlib.suppress(GatewayDown):
                self._look()

    def _look(self):
        sessions = self._cli.ask("show sess")
        now = time.time()
        for line in sessions.splitlines():
            if found := SESSION.search(line):
                self._servers_of.setdefault(int(found[1]), []).append((now, found[2]))
        asked = time.time()
        counters = self._cli.ask("show stat -1 4 -1", process=CURRENT).removeprefix("# ")
        for row in csv.DictReader(counters.splitlines()):
            if int(row["stot"] or 0):
                self.first.setdefault(row["svname"], self._looked)
            self.aborted[row["svname"]] = int(row["srv_abrt"] or 0)
        self._looked = asked
