"""Requests an answer from an engine, and shows it as it grows."""

import threading
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeAlias

import httpx
from msgspec.structs import replace

from bot.language.channel_settings import ChannelSettings
from bot.prompting.cancelling import Cancelling
from bot.prompting.conversation import Turn
from bot.prompting.engine import Completion, EngineEndpoint, Model, model_of
from bot.prompting.engine_failures import EngineFailed, ImagesRefused, RoleRefused, TooLong, Unreachable
from bot.prompting.errors import PromptingError
from bot.prompting.fitting import Fitted, fitted
from bot.prompting.left_out import NOTHING_LEFT, LeftOut, no_images, too_many, undecodable
from bot.prompting.outcome import Outcome, outcome
from bot.prompting.reply import Reply
from bot.prompting.sent import Sent
from bot.prompting.tokenizer import count_tokens
from workers.deployment.events import DeploymentId

RETRY_PAUSE = timedelta(seconds=1.5)
"""Pause before all addresses are tried again."""
ROUNDS = 4
"""Number of such pauses. Together they are longer than the time until a failed replica is recorded as not ready."""

IMAGES_AT_ONCE = 4
"""Maximum number of images in a request, of the question and of earlier messages."""

REMEMBERED = 1000
"""Number of deployments whose models are remembered. At the next one, all are forgotten."""

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
        self._images: dict[DeploymentId, int] = {}
        self._without_system_role: set[DeploymentId] = set()

    def check(self) -> None:
        """Raise Stopping if the process is stopping."""
        if self._stopping.is_set():
            raise Stopping(_ENDING)

    def images_at_once(self, deployment: DeploymentId) -> int:
        """Return the maximum number of images in a request: 0 once the engine has refused any."""
        return self._images.get(deployment, IMAGES_AT_ONCE)

    def write(
        self,
        deployment: DeploymentId,
        addresses: Addresses,
        said: Sequence[Turn],
        question: Turn,
        reply: Reply,
        *,
        settings: ChannelSettings,
        left_out: Sequence[LeftOut] = (),
    ) -> Outcome:
        """Show the answer as it grows, and return it with the sentence and line below it. `settings`: of its channel.

        `left_out`: what was not read of the messages after the last answer. Raises Stopping, NoReplicaReady, Withdrawn,
        SlackRefused.
        """
        sent = Sent(said, question, left_out, settings)
        if question.is_empty:
            return Outcome(text="", closing=sent.closing(NOTHING_LEFT))
        end = self._written(deployment, addresses, sent, reply)
        return replace(end, closing=sent.closing(end.closing))

    def _written(self, deployment: DeploymentId, addresses: Addresses, sent: Sent, reply: Reply) -> Outcome:
        way, asked = _Way(addresses, self._stopping), None
        before = Cancelling()  # for the requests before the completion
        while True:
            reply.withdrawal.ends(before.cancel)
            text, endpoint = _Text(), way.endpoint
            try:
                model = self._model(deployment, endpoint, before)
                is_folded = deployment in self._without_system_role
                asked = sent.fitted = asked or self._fitted(sent, endpoint, model, before, is_folded=is_folded)
                reply.withdrawal.check()
                completion = Completion(
                    self._http,
                    endpoint,
                    model.name,
                    asked.turns,
                    asked.answer,
                    thought_tokens=asked.thoughts,
                    temperature=sent.settings.temperature,
                )
                self._follow(completion, text, reply)
            except TooLong as failed:
                asked = asked and asked.less()
                if asked is None:
                    return Outcome(text="", closing=f"{failed}{_counts_too(sent.settings.system_prompt)}")
            except RoleRefused as failed:
                if asked is None or not asked.system or asked.is_folded:
                    return Outcome(text=text.whole, closing=str(failed))
                self._without_system_role.add(deployment)
                asked = None
            except ImagesRefused as failed:
                if not failed.is_broken:
                    self._images[deployment] = failed.most
                asked = asked and sent.without_images(asked, failed.most, _why_refused(failed, endpoint.name))
                if asked is None:
                    return Outcome(text="", closing=str(failed))
                if asked.messages[-1].is_empty:
                    return Outcome(text="", closing=NOTHING_LEFT)
            except Unreachable as failed:
                reply.withdrawal.check()
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
                self.check()
                if not text.whole and (seconds := completion.thinking) is not None:
                    reply.think(seconds)
                pending = len(text.whole) - len(reply.shown)
                if pending and reply.wait(pending) <= timedelta():
                    reply.show(text.whole)
            reply.withdrawal.check()
            while more := completion.take(timedelta()):
                text.whole += more
        finally:
            completion.cancel()

    def _fitted(
        self, sent: Sent, endpoint: EngineEndpoint, model: Model, cancelling: Cancelling, *, is_folded: bool
    ) -> Fitted:
        count = partial(count_tokens, self._http, endpoint, model.name, cancelling=cancelling)
        system = sent.settings.system_prompt
        return fitted(sent.said, sent.question, model.context, count, system=system, is_folded=is_folded)

    def _model(self, deployment: DeploymentId, endpoint: EngineEndpoint, cancelling: Cancelling) -> Model:
        known = self._models.get(deployment)
        if known is None:
            known = model_of(self._http, endpoint, cancelling)
            if len(self._models) >= REMEMBERED:
                self._forget()
            self._models[deployment] = known
        return known

    def _forget(self) -> None:
        """Forget what the engines said: most of these deployments have ended, and the others are asked again."""
        for known in (self._models, self._images, self._without_system_role):
            known.clear()


def _why_refused(failed: ImagesRefused, name: str) -> str:
    if failed.is_broken:
        return undecodable(name)
    return too_many(name, failed.most) if failed.most else no_images(name)


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
