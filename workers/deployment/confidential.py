"""The secrets of a deployment, and their masking in text."""

from collections.abc import Mapping

from workers.clouds.driver import Driver
from workers.deployment.log import Log
from workers.deployment.state import Deployment
from workers.errors import WorkersError
from workers.machines import Token, Whereabouts
from workers.secrecy import masked
from workers.serving.boot import secrets_of
from workers.serving.console import unmarked
from workers.serving.weights import HUB_TOKEN, token_reaches

LOG_LINES = 20
"""Number of lines of a machine's log that the event log keeps."""


class Confidential:
    """Reads the endpoint's keys from Redis, and a recipe's secrets from this process's environment."""

    def __init__(self, log: Log, environ: Mapping[str, str]) -> None:
        self._log = log
        self._environ = environ

    def lacking(self, state: Deployment) -> list[str]:
        """Names of the recipe's secrets that are not set in this environment."""
        return [name for name in secrets_of(state.recipe) if not self._environ.get(name)]

    def secrets(self, state: Deployment) -> dict[str, str]:
        """The recipe's secrets and the hub's token by name, without those that are not set in this environment."""
        names = [*secrets_of(state.recipe), *([HUB_TOKEN] if token_reaches(state.recipe) else [])]
        return {name: value for name in names if (value := self._environ.get(name))}

    def masked(self, state: Deployment, text: str) -> str:
        """`text`, which an engine or a cloud wrote, without secrets: fit for a channel and for the event log."""
        if not text:
            return text
        return unmarked(masked(text, [*self._log.secrets(state.id).all, *self.secrets(state).values()]))

    def log_tail(
        self, state: Deployment, driver: Driver, token: Token, known: Whereabouts, lines: int = LOG_LINES
    ) -> str:
        """The last `lines` of a machine's log, masked; if they cannot be read, the reason."""
        try:
            return self.masked(state, driver.log(token, lines, known))
        except WorkersError as error:
            return self.masked(state, f"(its log could not be read: {error})")
