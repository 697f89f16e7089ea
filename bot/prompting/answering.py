"""Takes one question from wherever it stands to its answer. It may die at any line and be called again."""

import logging
import threading
from collections.abc import Sequence
from datetime import timedelta

import httpx
from msgspec.structs import replace

from bot.prompting.conversation import ANSWER_EVENT, Remembered, Turn, asking, budget, from_memory, turns
from bot.prompting.engine import Completion, Endpoint, Model, model_of
from bot.prompting.errors import PromptingError
from bot.prompting.failures import EngineFailed, TooLong, Unreachable
from bot.prompting.outcome import Outcome, outcome
from bot.prompting.question import Asked, QuestionKey
from bot.prompting.reply import OpenAnswers, Reply
from bot.prompting.resumption import metadata, orphans
from bot.prompting.routing import Nowhere, Open, Over, To, Waits, route, standing
from bot.prompting.slack import Slack
from bot.prompting.store import Questions, Threads
from bot.prompting.streamed import Place
from bot.prompting.telling import Telling
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment
from workers.requests import Requests

_LOG = logging.getLogger(__name__)

ENGINE_AGAIN = timedelta(seconds=1.5)
"""A replica that has just gone leaves the table within this time."""

LONGEST_WAIT = timedelta(seconds=5)
"""For tokens, before looking whether this process is to end."""

_VANISHED = (
    "The deployment that was to answer is gone, so this question stays without an answer. "
    "Ask again; `/mixtral status` lists what runs."
)


class Stopping(PromptingError):
    """The process is ending; another one goes on with the question."""


class Answering:
    """Safe to use from several threads, each with its own question."""

    def __init__(
        self,
        *,
        requests: Requests,
        slack: Slack,
        http: httpx.Client,
        questions: Questions,
        threads: Threads,
        stopping: threading.Event,
    ) -> None:
        self._requests, self._slack, self._http = requests, slack, http
        self._questions, self._threads, self._stopping = questions, threads, stopping
        self._telling = Telling(slack, http, threads)
        self._open = OpenAnswers()
        self._models: dict[DeploymentId, Model] = {}

    def run(self, key: QuestionKey) -> None:
        """Answer the question, or say why not, or leave it waiting. Raises SlackFailed, Stopping, RedisError."""
        asked = self._questions.get(key)
        if asked is None:
            return
        if asked.deployment is None:
            asked = self._routed(asked)
        if asked is None or asked.deployment is None:
            return
        deployment = self._requests.by_id(asked.deployment)
        if asked.thread is None:
            asked = self._placed(asked, deployment)
        state = standing(deployment) if deployment is not None else Over(sentence=_VANISHED)
        match state:
            case Over():
                self._telling.over(asked, state.sentence)
                self._questions.remove(key)
            case Waits():
                self._wait(asked, state.sentence)
            case Open() if deployment is not None:
                self._answer(asked, deployment, state.url)

    def explain(self, key: QuestionKey, sentence: str) -> None:
        """Say why a question gets no answer, and forget it. Raises SlackFailed."""
        asked = self._questions.get(key)
        if asked is not None:
            self._telling.privately(asked, sentence)
            self._questions.remove(key)

    def _routed(self, asked: Asked) -> Asked | None:
        question = asked.question
        before = self._threads.recall(question.channel, question.thread_ts) if question.thread_ts else Remembered()
        to = route(question, self._requests.all(), before.deployment)
        match to:
            case Nowhere():
                self.explain(question.key, to.sentence)
                return None
            case To():
                return self._stored(replace(asked, deployment=to.deployment.id, prompt=to.prompt))

    def _placed(self, asked: Asked, deployment: Deployment | None) -> Asked:
        question = asked.question
        root = question.thread_ts or question.message_ts
        if root is None:
            root = self._telling.prompt(asked, deployment.name if deployment else "a model")
        return self._stored(replace(asked, thread=root))

    def _wait(self, asked: Asked, sentence: str) -> None:
        if asked.notice is None:
            self._stored(replace(asked, notice=self._telling.waiting(asked, sentence)))

    def _answer(self, asked: Asked, deployment: Deployment, url: str) -> None:
        question, thread = asked.question, asked.thread or ""
        key = self._requests.key(deployment.id)
        if key is None:
            self._telling.over(asked, _VANISHED)
            self._questions.remove(question.key)
            return
        if asked.tries:
            asked = replace(asked, begun=self._begun(asked))
        asked = self._stored(replace(asked, tries=asked.tries + 1))
        if not asked.begun:
            self._slack.thinking(question.channel, thread)
        if asked.notice is not None:
            self._telling.withdraw(asked, f"{deployment.name} is ready.")
            asked = self._stored(replace(asked, notice=None))
        written = _Written(self._questions, asked)
        place = Place(channel=question.channel, thread=thread, team=question.team, user=question.user)
        with Reply(
            self._slack,
            place,
            self._open,
            metadata=metadata(ANSWER_EVENT, question.key),
            began=written.add,
            begun=asked.begun,
        ) as reply:
            said = self._said(asked, deployment)
            end = self._converse(deployment.id, Endpoint(name=deployment.name, url=url, key=key), said, asked, reply)
            reply.finish(end.text, closing=end.closing, footer=end.footer)
        self._threads.answered(written.asked, deployment.id, end.text)
        self._questions.remove(question.key)

    def _converse(
        self, deployment: DeploymentId, endpoint: Endpoint, said: Sequence[Turn], asked: Asked, reply: Reply
    ) -> Outcome:
        share, patience = 1, 1
        while True:
            text = _Text()
            try:
                model = self._model(deployment, endpoint)
                room = budget(model.context)
                question = asking(said, asked.prompt, room.prompt // share)
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

    def _said(self, asked: Asked, deployment: Deployment) -> list[Turn]:
        question, root = asked.question, asked.thread or ""
        remembered = self._threads.recall(question.channel, root)
        if question.thread_ts is None:
            return []
        thread = self._slack.thread(question.channel, root)
        return turns(
            thread if thread is not None else from_memory(remembered),
            before=question.message_ts,
            remembered=remembered,
            ourselves=self._slack.ourselves(),
            names=[deployment.name],
        )

    def _begun(self, asked: Asked) -> tuple[str, ...]:
        question, root = asked.question, asked.thread or ""
        remembered = self._threads.recall(question.channel, root)
        others = [a for a in self._questions.all() if a.question.key != question.key]
        claimed = {*remembered.answers, *remembered.prompts, root, *asked.begun}
        claimed.update(ts for other in others for ts in (*other.begun, other.notice or ""))
        claimed.add(asked.notice or "")
        thread = self._slack.thread(question.channel, root) or []
        return (*asked.begun, *orphans(thread, asked, self._slack.ourselves(), claimed))

    def _model(self, deployment: DeploymentId, endpoint: Endpoint) -> Model:
        if deployment not in self._models:
            self._models[deployment] = model_of(self._http, endpoint)
        return self._models[deployment]

    def _stored(self, asked: Asked) -> Asked:
        self._questions.put(asked)
        return asked


class _Text:
    """What has come of an answer, and how much of it was given on."""

    def __init__(self) -> None:
        self.whole = ""
        self.shown = 0


class _Written:
    """Writes down each message of an answer as it is posted."""

    def __init__(self, questions: Questions, asked: Asked) -> None:
        self._questions = questions
        self.asked = asked

    def add(self, ts: str) -> None:
        self.asked = replace(self.asked, begun=(*self.asked.begun, ts))
        self._questions.put(self.asked)
