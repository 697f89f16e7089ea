"""Ends a request to an engine immediately, from another thread: its connection is shut down."""

import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

_CONNECTED = frozenset({"connection.connect_tcp.complete", "connection.start_tls.complete"})


class Cancelling:
    """For requests one after another. Each needs a connection of its own: see `engine_client`."""

    def __init__(self, *, beside: "Cancelling | None" = None) -> None:
        """`beside`: another one, whose `cancel` ends the requests, too."""
        self._beside = beside
        self._socket: socket.socket | None = None
        self.is_cancelled = False

    @property
    def extensions(self) -> dict[str, Any]:
        """The extensions of httpx's requests that `cancel` is to end."""
        return {"trace": self.trace}

    def cancel(self) -> None:
        """End the request, also while the engine sends nothing, and every later one."""
        self.is_cancelled = True
        if self._socket is not None:
            _shut(self._socket)

    def over(self) -> None:
        """The request has ended: its connection may be another one's."""
        self._socket = None

    def trace(self, event: str, about: Mapping[str, Any]) -> None:
        """Store the connection of the request. Called by httpcore: see its trace extension."""
        if self._beside is not None:
            self._beside.trace(event, about)
        if event in _CONNECTED:
            self._socket = about["return_value"].get_extra_info("socket")
            if self.is_cancelled and self._socket is not None:
                _shut(self._socket)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
