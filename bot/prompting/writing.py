"""Requests an answer from an engine, and shows it as it grows."""

import threading
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeAlias

import httpx

from bot.language.channel_settings import ChannelSettings
from bot.prompting.conversation import Turn
from bot.prompting.engine import Completion, EngineEndpoint, Model, model_of
from bot.prompting.engine_failures import EngineFailed, RoleRefused, TooLong, Unreachable
from bot.prompting.errors import PromptingError
from bot.prompting.fitting import Fitted, fitted
from bot.prompting.outcome import Outcome, outcome
from bot.prompting.reply import Reply
from bot.prompting.tokenizer import count_tokens
from workers.deployment.events import DeploymentId

RETRY_PAUSE = timedelta(seconds=1.5)
"""Pause before all addresses are tried again."""
ROUNDS = 4
"""Number of such pauses. Together they are longer than the time until a failed replica is recorded as not ready."""

MAX_WAIT = timedelta(seconds=5)
"""Maximum wait for tokens between two checks whether this process must stop."""

_ENDING = "The bot is stopping; the question is answered after its restart."


class Stopping(PromptingError):
    """The process is stopping. Another one continues with the question."""


class NoReplicaReady(PromptingError):
    """The deployment cannot answer now, or at all. No part of an answer was received."""


Addresses: TypeAlias = Callable[[Collection[str]], EngineEndpoint | None]
"""Returns an endpoint that is not among the given failed URLs, or None. Raises NoReplicaReady."""


class Writing:
    """Safe to use from several threads, if each has its own reply."""

    def __init__(self, http: httpx.Client, stopping: threading.Event) -> None:
        self._http, self._stopping = http, stopping
        self._models: dict[DeploymentId, Model] = {}
        self._without_system_role: set[DeploymentId] = set()

    def write(
        self,
        deployment: DeploymentId,
        addresses: Addresses,
        said: Sequence[Turn],
        prompt: str,
        reply: Reply,
        *,
        settings: ChannelSettings,
    ) -> Outcome:
        """Show the answer as it grows, and return it with the sentence and line below it. `settings`: of its channel.

        Raises Stopping, NoReplicaReady, Withdrawn, SlackRefused.
        """
        way, asked = _Way(addresses, self._stopping), None
        while True:
            text, endpoint = _Text(), way.endpoint
            try:
                model = self._model(deployment, endpoint)
                asked = asked or self._fitted(
                    said, prompt, endpoint, model, system=settings.system_prompt, at=deployment
                )
                completion = Completion(
                    self._http,
                    endpoint,
                    model.name,
                    asked.turns,
                    asked.answer,
                    thought_tokens=asked.thoughts,
                    temperature=settings.temperature,
                )
                self._follow(completion, text, reply)
            except TooLong as failed:
                asked = asked and asked.less()
                if asked is None:
                    return Outcome(text="", closing=f"{failed}{_counts_too(settings.system_prompt)}")
            except RoleRefused as failed:
                if asked is None or not asked.system or asked.is_folded:
                    return Outcome(text=text.whole, closing=str(failed))
                self._without_system_role.add(deployment)
                asked = None
            except Unreachable as failed:
                if text.whole or not way.turn():
                    return Outcome(text=text.whole, closing=str(failed))
            except EngineFailed as failed:
                return Outcome(text=text.whole, closing=str(failed))
            else:
                assert completion.finish is not None  # noqa: S101 - it ended without a failure
                return outcome(text.whole, completion.finish, model.name)

    def _follow(self, completion: Completion, text: "_Text", reply: Reply) -> None:
        reply.withdrawal.ends(completion.cancel)
        try:
            while not completion.ended:
                text.whole += completion.take(min(reply.wait(len(text.whole) - len(reply.shown)), MAX_WAIT))
                reply.withdrawal.check()
                if self._stopping.is_set():
                    raise Stopping(_ENDING)
                pending = len(text.whole) - len(reply.shown)
                if pending and reply.wait(pending) <= timedelta():
                    reply.show(text.whole)
            reply.withdrawal.check()
            while more := completion.take(timedelta()):
                text.whole += more
        finally:
            completion.cancel()

    def _fitted(
        self,
        said: Sequence[Turn],
        prompt: str,
        endpoint: EngineEndpoint,
        model: Model,
        *,
        system: str,
        at: DeploymentId,
    ) -> Fitted:
        return fitted(
            said,
            prompt,
            model.context,
            partial(count_tokens, self._http, endpoint, model.name),
            system=system,
            is_folded=at in self._without_system_role,
        )

    def _model(self, deployment: DeploymentId, endpoint: EngineEndpoint) -> Model:
        if deployment not in self._models:
            self._models[deployment] = model_of(self._http, endpoint)
        return self._models[deployment]


def _counts_too(system: str) -> str:
    """The sentence after a question that is too long: a system prompt takes a part of the context."""
    if not system:
        return ""
    return f" The system prompt of this channel ({len(system):,} characters) counts too: `/mixtral config` changes it."


class _Way:
    """The addresses of a deployment, which are tried in turn until one answers."""

    def __init__(self, addresses: Addresses, stopping: threading.Event) -> None:
        self._addresses, self._stopping = addresses, stopping
        self._rounds = ROUNDS
        self._failed: set[str] = set()
        self.endpoint = self._next()

    def turn(self) -> bool:
        """Select the next address; False after `ROUNDS` rounds. Raises Stopping, NoReplicaReady."""
        self._failed.add(self.endpoint.url)
        if (other := self._addresses(self._failed)) is not None:
            self.endpoint = other
            return True
        if not self._rounds:
            return False
        self._rounds -= 1
        if self._stopping.wait(RETRY_PAUSE.total_seconds()):
            raise Stopping(_ENDING)
        self._failed.clear()
        self.endpoint = self._next()
        return True

    def _next(self) -> EngineEndpoint:
        endpoint = self._addresses(())
        if endpoint is None:
            raise NoReplicaReady("No replica is ready.")
        return endpoint


class _Text:
    """The text received of an answer."""

    def __init__(self) -> None:
        self.whole = ""
