"""What HAProxy has while it is under load: which request is on which server, and when a server got its first."""

import contextlib
import csv
import re
import threading
import time

from workers.gateway.errors import GatewayDown
from workers.gateway.haproxy import SOCKET
from workers.gateway.haproxy_cli import CURRENT, Cli

EVERY = 0.1
"""Seconds. A stream lasts longer, so that none is missed."""

SESSION = re.compile(r"src=[^ ]*:(\d+) fe=endpoint be=b\d+ srv=(r\d+) ")


class Observed:
    """Asks HAProxy's own command line again and again, from a thread of its own. A context manager."""

    def __init__(self, folder):
        """`folder`: the gateway's."""
        self._cli = Cli(folder / SOCKET)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._servers_of = {}
        self.first = {}
        """When a server was first seen to have been given a request, by its name; seconds since 1970."""
        self.aborted = {}
        """How many answers a server broke off, as of the last look at it."""

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._over.set()
        self._thread.join()

    def server_of(self, answer):
        """The server that a request was on when it ended; None where it was never seen on one."""
        seen = self._servers_of.get(answer.port, ())
        during = [server for at, server in seen if answer.began <= at <= answer.ended + EVERY]
        return during[-1] if during else None

    def streams_on(self, server, at, streams):
        """Those of some streams that were on a server at that time."""
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
        counters = self._cli.ask("show stat -1 4 -1", process=CURRENT).removeprefix("# ")
        now = time.time()
        for row in csv.DictReader(counters.splitlines()):
            if int(row["stot"] or 0):
                self.first.setdefault(row["svname"], now)
            self.aborted[row["svname"]] = int(row["srv_abrt"] or 0)
