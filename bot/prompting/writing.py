"""Has a question answered by its engine, and shows the answer as it grows."""

import threading
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import TypeAlias

import httpx

from bot.prompting.conversation import Turn, asking, budget
from bot.prompting.engine import Completion, EngineEndpoint, Model, model_of
from bot.prompting.engine_failures import EngineFailed, TooLong, Unreachable
from bot.prompting.errors import PromptingError
from bot.prompting.outcome import Outcome, outcome
from bot.prompting.reply import Reply
from workers.deployment.events import DeploymentId

ENGINE_AGAIN = timedelta(seconds=1.5)
"""A pause after which all addresses are tried again."""
ROUNDS = 4
"""A replica that has just gone is found not to be ready within so many pauses."""

LONGEST_WAIT = timedelta(seconds=5)
"""For tokens, before looking whether this process is to end."""


_ENDING = "The bot is ending; the question is answered after its restart."


class Stopping(PromptingError):
    """The process is ending; another one goes on with the question."""


class NobodyReady(PromptingError):
    """The deployment cannot answer any more, or not now; nothing of an answer has come."""


Addresses: TypeAlias = Callable[[Collection[str]], EngineEndpoint | None]
"""Where the deployment can be asked now, apart from the addresses that have just failed. Raises NobodyReady."""


class Writing:
    """Safe to use from several threads, each with its own reply."""

    def __init__(self, http: httpx.Client, stopping: threading.Event) -> None:
        self._http, self._stopping = http, stopping
        self._models: dict[DeploymentId, Model] = {}

    def write(
        self, deployment: DeploymentId, addresses: Addresses, said: Sequence[Turn], prompt: str, reply: Reply
    ) -> Outcome:
        """Show the answer as it grows, and give it whole, with what has to be said below.

        Raises Stopping, NobodyReady.
        """
        share, way = 1, _Way(addresses, self._stopping)
        while True:
            text, endpoint = _Text(), way.endpoint
            try:
                model = self._model(deployment, endpoint)
                room = budget(model.context)
                question = asking(said, prompt, room.prompt // share)
                completion = Completion(self._http, endpoint, model.name, question, room.answer // share)
                self._follow(completion, text, reply)
            except TooLong as failed:
                if share > 1:
                    return Outcome(text="", closing=str(failed))
                share = 2  # four characters a token was too hopeful for this language, or the engine counts otherwise
            except Unreachable as failed:
                if text.whole or not way.turn():
                    return Outcome(text=text.whole, closing=str(failed))
            except EngineFailed as failed:
                return Outcome(text=text.whole, closing=str(failed))
            else:
                assert completion.finish is not None  # noqa: S101 - it ended, and not by failing
                return outcome(text.whole, completion.finish, model.name)

    def _follow(self, completion: Completion, text: "_Text", reply: Reply) -> None:
        try:
            while not completion.ended:
                text.whole += completion.take(min(reply.wait(len(text.whole) - text.shown), LONGEST_WAIT))
                if self._stopping.is_set():
                    raise Stopping(_ENDING)
                if len(text.whole) > text.shown and reply.wait(len(text.whole) - text.shown) <= timedelta():
                    reply.show(text.whole)
                    text.shown = len(text.whole)
            while more := completion.take(timedelta()):
                text.whole += more
        finally:
            completion.cancel()

    def _model(self, deployment: DeploymentId, endpoint: EngineEndpoint) -> Model:
        if deployment not in self._models:
            self._models[deployment] = model_of(self._http, endpoint)
        return self._models[deployment]


class _Way:
    """Goes from one address of a deployment to the next while none answers."""

    def __init__(self, addresses: Addresses, stopping: threading.Event) -> None:
        self._addresses, self._stopping = addresses, stopping
        self._rounds = ROUNDS
        self._failed: set[str] = set()
        self.endpoint = self._next()

    def turn(self) -> bool:
        """Take the next address; False once all have been tried often enough. Raises Stopping, NobodyReady."""
        self._failed.add(self.endpoint.url)
        if (other := self._addresses(self._failed)) is not None:
            self.endpoint = other
            return True
        if not self._rounds:
            return False
        self._rounds -= 1
        if self._stopping.wait(ENGINE_AGAIN.total_seconds()):
            raise Stopping(_ENDING)
        self._failed.clear()
        self.endpoint = self._next()
        return True

    def _next(self) -> EngineEndpoint:
        endpoint = self._addresses(())
        if endpoint is None:
            raise NobodyReady("Nobody is ready.")
        return endpoint


class _Text:
    """What has come of an answer, and how much of it was given on."""

    def __init__(self) -> None:
        self.whole = ""
        self.shown = 0
