"""The places of connections: who gets one, and how long a client may take to send its request."""

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Iterator

_LOG = logging.getLogger(__name__)

LEFT_WITHIN = 1.0
"""Maximum time in seconds until a connection that was cut off has left its place."""


class ConnectionPlaces:
    """A bounded number of connections. Safe to use from several threads; one of them calls `take` and `end_late`."""

    def __init__(self, number: int, read_within: float) -> None:
        """`read_within`: seconds for a request to arrive."""
        self._number, self._read_within = number, read_within
        self._free = threading.BoundedSemaphore(number)
        self._due: dict[socket.socket, float] = {}  # in the order in which they were taken

    def take(self, connection: socket.socket) -> bool:
        """Take a place: if none is free, that of the oldest connection that waits for its client; False if none does.

        Clients that send slowly, and come again when they are cut off, would otherwise lock the others out.
        """
        if not self._free.acquire(blocking=False):
            oldest = next((other for other in _silent(list(self._due)) if self.cut_off(other)), None)
            if oldest is None or not self._free.acquire(timeout=LEFT_WITHIN):
                return False
            _LOG.warning("%d connections are open; the oldest that sends nothing is closed for another", self._number)
        self._due[connection] = time.monotonic() + self._read_within
        return True

    def leave(self, connection: socket.socket) -> None:
        self.has_arrived(connection)
        self._free.release()

    def has_arrived(self, connection: socket.socket) -> bool:
        """End the time limit of a request. False if it was cut off before."""
        return self._due.pop(connection, None) is not None

    def cut_off(self, connection: socket.socket) -> bool:
        """End a connection, unless its request has arrived. Its thread calls `leave`."""
        if is_due := self.has_arrived(connection):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        return is_due

    def end_late(self) -> None:
        """End the connections whose request has not arrived in time."""
        now = time.monotonic()
        for connection, due in list(self._due.items()):
            if due < now:
                self.cut_off(connection)


def _silent(connections: list[socket.socket]) -> Iterator[socket.socket]:
    """Those whose clients have sent nothing that waits to be read: it is the client that delays the request."""
    poll, numbers = select.poll(), [connection.fileno() for connection in connections]
    for number in numbers:
        if number >= 0:  # not closed
            poll.register(number, select.POLLIN)
    sent = {number for number, _ in poll.poll(0)}
    return (one for one, number in zip(connections, numbers, strict=True) if number >= 0 and number not in sent)
