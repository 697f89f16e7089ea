"""What can go wrong with the gateway."""

from workers.errors import WorkersError


class GatewayError(WorkersError):
    """The gateway cannot do what it is to do; the message says why, and what mends it."""


class GatewayDown(GatewayError):
    """HAProxy does not answer on its socket: it is starting, restarting or gone. Asking again later is right."""
