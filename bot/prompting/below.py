"""What is shown below a finished answer, and what its buttons need."""

from typing import Protocol

from bot.language.question import Asked, Question
from bot.prompting.given_answers import GivenAnswer, GivenAnswers
from bot.prompting.inert import mrkdwn
from bot.prompting.outcome import Outcome
from bot.views.answer import Below, buttons
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment

STOPPED = Outcome(text="", footer="This answer was stopped.")


class OtherDeployments(Protocol):
    """The part of `bot.commands.sight.Askable` that is used here."""

    def others(self, question: Question, besides: DeploymentId) -> list[Deployment]: ...


class BelowAnswers:
    """Safe to use from several threads and processes. Raises RedisError."""

    def __init__(self, given: GivenAnswers, askable: OtherDeployments) -> None:
        self._given, self._askable = given, askable

    def answerer(self, question: Question) -> DeploymentId | None:
        """Return the deployment whose own answer is asked for again. Everyone who can read the answer may do that."""
        given = self._given.get(question.replaces) if question.replaces else None
        return given.deployment if given is not None and given.name == question.deployment else None

    def of(self, asked: Asked, deployment: Deployment, end: Outcome) -> Below:
        """Keep what the buttons need, and return what is shown below the answer."""
        question = asked.question
        answer = GivenAnswer(
            question=question,
            thread=asked.thread or "",
            deployment=deployment.id,
            name=deployment.name,
            model=end.model,
            shown=asked.shown,
        )
        self._given.keep(answer)
        others = [(other.name, other.id) for other in self._askable.others(question, deployment.id)]
        is_named = end.model == deployment.name or not end.footer
        whose = f"{deployment.name} · " if question.replaces and not is_named else ""
        return Below(
            footer=mrkdwn(f"{whose}{end.footer}"),
            thoughts=end.thoughts,
            buttons=buttons(question.key, others),
            rates=question.key if end.text.strip() else "",
        )
