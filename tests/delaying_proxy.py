"""A TCP proxy on loopback that delays each request, as a Redis far away or under load."""

import contextlib
import socket
import threading
import time

from workers.sandbox.valkey import free_port


class DelayingProxy:
    """Forwards to a port of this computer. `delay`, in seconds, may be changed at any time. A context manager."""

    def __init__(self, to):
        self.port, self.delay = free_port(), 0.0
        self._to = to
        self._listening = socket.create_server(("127.0.0.1", self.port), backlog=200)

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listening.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        with contextlib.suppress(OSError), near, socket.create_connection(("127.0.0.1", self._to)) as far:
            threading.Thread(target=self._pump, args=(far, near, False), daemon=True).start()
            self._pump(near, far, True)

    def _pump(self, source, sink, delayed):
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                if delayed and self.delay:
                    time.sleep(self.delay)
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)
