"""Errors of the gateway."""

from workers.errors import WorkersError


class GatewayError(WorkersError):
    """The gateway cannot work; the message contains the cause and how to mend it."""


class GatewayDown(GatewayError):
    """HAProxy does not answer on its socket: it is starting, restarting or has ended. The caller may retry later."""
