"""Has a question answered by its engine, and shows the answer as it grows."""

import threading
from collections.abc import Sequence
from datetime import timedelta

import httpx

from bot.prompting.conversation import Turn, asking, budget
from bot.prompting.engine import Completion, Endpoint, Model, model_of
from bot.prompting.errors import PromptingError
from bot.prompting.failures import EngineFailed, TooLong, Unreachable
from bot.prompting.outcome import Outcome, outcome
from bot.prompting.reply import Reply
from workers.deployment.events import DeploymentId

ENGINE_AGAIN = timedelta(seconds=1.5)
"""A replica that has just gone leaves the table within this time."""

LONGEST_WAIT = timedelta(seconds=5)
"""For tokens, before looking whether this process is to end."""


class Stopping(PromptingError):
    """The process is ending; another one goes on with the question."""


class Writing:
    """Safe to use from several threads, each with its own reply."""

    def __init__(self, http: httpx.Client, stopping: threading.Event) -> None:
        self._http, self._stopping = http, stopping
        self._models: dict[DeploymentId, Model] = {}

    def write(
        self, deployment: DeploymentId, endpoint: Endpoint, said: Sequence[Turn], prompt: str, reply: Reply
    ) -> Outcome:
        """Show the answer as it grows, and give it whole, with what has to be said below. Raises Stopping."""
        share, patience = 1, 1
        while True:
            text = _Text()
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
                if not patience or text.whole:
                    return Outcome(text=text.whole, closing=str(failed))
                patience -= 1
                self._stopping.wait(ENGINE_AGAIN.total_seconds())
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
                    raise Stopping("The bot is ending; the question is answered after its restart.")
                if len(text.whole) > text.shown and reply.wait(len(text.whole) - text.shown) <= timedelta():
                    reply.show(text.whole)
                    text.shown = len(text.whole)
            while more := completion.take(timedelta()):
                text.whole += more
        finally:
            completion.cancel()

    def _model(self, deployment: DeploymentId, endpoint: Endpoint) -> Model:
        if deployment not in self._models:
            self._models[deployment] = model_of(self._http, endpoint)
        return self._models[deployment]


class _Text:
    """What has come of an answer, and how much of it was given on."""

    def __init__(self) -> None:
        self.whole = ""
        self.shown = 0
