"""Takes one question from any stage to its answer. The process may die at any line; the next call resumes."""

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import httpx
from msgspec.structs import replace

from bot.language.question import Asked, Question, QuestionKey, Saying
from bot.language.quoted_message import about
from bot.prompting.attachments import Attachments
from bot.prompting.below import STOPPED, BelowAnswers
from bot.prompting.channel_store import ChannelStore
from bot.prompting.conversation import ANSWER_EVENT, Remembered
from bot.prompting.drafts import ChoiceDraft, Drafts
from bot.prompting.endings import Endings
from bot.prompting.engine import EngineEndpoint
from bot.prompting.engine_exchange import exchange
from bot.prompting.given_answers import GivenAnswers
from bot.prompting.inert import inert, mrkdwn
from bot.prompting.notices import QuestionNotices
from bot.prompting.question_threads import QuestionThreads
from bot.prompting.reply import OpenAnswers, Reply
from bot.prompting.resumption import metadata
from bot.prompting.routing import AnswersNow, HasEnded, HasToWait, NotRouted, RoutedTo, address, availability, route
from bot.prompting.sessions import Sessions
from bot.prompting.store import Questions, Threads
from bot.prompting.streamed import AnswerRecord
from bot.prompting.waiting import WAITED, has_waited_too_long, is_one_too_many, too_many
from bot.prompting.way import AnswerPlace
from bot.prompting.withdrawal import Why, Withdrawal, Withdrawals, Withdrawn
from bot.prompting.writing import NoReplicaReady, Writing
from bot.slack.calls import SlackCalls
from bot.slack.message import JSON
from bot.slack.slack_steps import Steps, by_and_by
from bot.views.answer import growing
from bot.views.answer_choice import choice
from workers.api import Deployments
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment

_LOG = logging.getLogger(__name__)

WAKE_WITHIN = timedelta(seconds=2)
"""Timeout of a request that only has to reach the gateway, which holds it while no replica is ready."""

_VANISHED = (
    "The deployment that was asked no longer exists, so this question will not be answered. "
    "Ask again; `/mixtral status` lists what runs."
)

_NO_MESSAGE = (
    "The question was not asked again: its message is gone, or shows only a part of the question. The bot keeps a long "
    "question of a command, and one about another message, for an hour. Ask it again."
)


class AskableDeployments(Protocol):
    """The methods of `bot.commands.sight.Askable` that are used here: which deployments the asker may see."""

    def running(
        self, question: Question, before: DeploymentId | None = None, default: str | None = None
    ) -> list[Deployment]: ...
    def forbids(self, question: Question, deployment: Deployment) -> str: ...
    def others(self, question: Question, besides: DeploymentId) -> list[Deployment]: ...
    def ended(self, question: Question, default: str | None = None) -> Collection[str]: ...


class QuestionFlow:
    """Safe to use from several threads, if each has a different question.

    What may wait for Slack returns steps (`bot.slack.slack_steps`).
    """

    def __init__(
        self,
        *,
        deployments: Deployments,
        slack: SlackCalls,
        http: httpx.Client,
        questions: Questions,
        threads: Threads,
        given: GivenAnswers,
        askable: AskableDeployments,
        settings: ChannelStore,
        drafts: Drafts,
        gateway: str | None = None,
        streams_in_channels: bool = False,
    ) -> None:
        """`gateway`: address of the gateway for this process; None if it is the public one."""
        self._gateway, self._streams_in_channels = gateway, streams_in_channels
        self._deployments, self._slack, self._askable = deployments, slack, askable
        self._questions, self._threads, self._below = questions, threads, BelowAnswers(given, askable)
        self._http, self._settings, self._drafts = http, settings, drafts
        self._notices = QuestionNotices(slack, threads)
        self._open = OpenAnswers()
        self._writing = Writing(http, slack.stopping)
        self._attachments = Attachments(slack.files)
        self._sessions = Sessions(slack)
        self._reading = QuestionThreads(slack, questions, threads)
        self.withdrawals = Withdrawals()
        self.endings = Endings(
            slack,
            questions=questions,
            threads=threads,
            notices=self._notices,
            sessions=self._sessions,
            orphans=self._reading.orphans,
        )

    def close(self) -> None:
        self._sessions.close()

    def run(self, key: QuestionKey) -> Steps[None]:
        """Answer the question, report why not, or leave it waiting. Raises SlackFailed, Stopping, RedisError."""
        asked = self._questions.get(key)
        if asked is None:
            return
        if asked.over:
            yield from self.endings.end(asked)
            return
        if asked.saying and (asked := (yield from self._recovered(asked))) is None:
            return
        if (why := self._questions.withdrawn([key]).get(key)) is not None:
            yield from self.endings.withdraw(asked, Withdrawn(why))
            return
        if asked.deployment is None:
            asked = yield from self._routed(asked)
        if asked is None or asked.deployment is None:
            return
        deployment = self._deployments.by_id(asked.deployment)
        state = availability(deployment) if deployment is not None else HasEnded(sentence=_VANISHED)
        if deployment is not None and isinstance(state, HasToWait):
            if asked.notice is None and is_one_too_many(asked, self._questions.all()):
                yield from self._not_routed(asked.question, NotRouted(sentence=too_many(deployment.name)))
                return
            if has_waited_too_long(asked, datetime.now(UTC)):
                state = HasEnded(sentence=WAITED)
        if asked.thread is None:
            asked = yield from self._placed(asked, deployment)
        match state:
            case HasEnded():
                yield from self._over(asked, state.sentence)
            case HasToWait():
                yield from self._wait(asked, state.sentence)
                if deployment is not None and state.wake is not None:
                    self._wake(deployment, state.wake)
            case AnswersNow() if deployment is not None:
                yield from self._answer(asked, deployment)

    def _recovered(self, asked: Asked) -> Steps[Asked | None]:
        """The question with the notice that an earlier try may have posted; None if that said why it has no answer."""
        posted = yield from self._notices.lost(asked)
        if asked.saying is Saying.OVER and posted is not None:
            if asked.notice is not None:
                yield from self._notices.insist_on_withdrawal(asked, "Your question waited here.")
            yield from self.endings.end(asked)
            return None
        notice = posted if asked.saying is Saying.WAITING else asked.notice
        return self._stored(replace(asked, saying=Saying.NOTHING, notice=notice))

    def _over(self, asked: Asked, sentence: str) -> Steps[None]:
        if asked.starting is not None:  # Redis may have failed between the first message of an answer and its record
            asked = replace(asked, begun=(*asked.begun, *(yield from self._reading.orphans(asked))))
        if (yield from self.endings.without_stop(asked, mrkdwn(inert(sentence)))):
            yield from self.endings.end(asked)
            return
        asked = self._stored(replace(asked, saying=Saying.OVER))
        yield from self._notices.over(asked, sentence)
        yield from self.endings.end(asked)

    def explain(
        self, key: QuestionKey, sentence: str, choices: Sequence[Deployment] = (), prompt: str = "", why: str = ""
    ) -> Steps[None]:
        """Report why a question has no answer, with a button for each choice, and remove it. Raises SlackFailed.

        `why`: why there is a choice.
        """
        asked = self._questions.get(key)
        if asked is not None:
            if not asked.over:
                blocks = self._choice(asked.question, sentence, choices, prompt, why) if choices else ()
                yield from self.endings.without_stop(asked)
                if asked.question.is_direct:
                    asked = self._stored(replace(asked, saying=Saying.OVER))
                yield from self._notices.privately(asked, sentence, blocks)
            yield from self.endings.end(asked)

    def _choice(
        self, question: Question, sentence: str, choices: Sequence[Deployment], prompt: str, why: str
    ) -> tuple[JSON, ...]:
        draft = ChoiceDraft(question=replace(question, text=prompt))
        return choice(sentence, self._drafts.add(question.user, draft), choices, why).blocks

    def _routed(self, asked: Asked) -> Steps[Asked | None]:
        question = asked.question
        before = self._threads.recall(question.channel, question.thread_ts) if question.thread_ts else Remembered()
        default = self._settings.of(question.channel, question.user).default
        running = self._askable.running(question, self._below.answerer(question) or before.deployment, default)
        if question.replaces:
            question = replace(
                question, text=(yield from self._reading.text(question, before, [d.name for d in running]))
            )
            if not question.text and not question.attached:
                yield from self._not_routed(question, NotRouted(sentence=_NO_MESSAGE))
                return None
        to = route(question, running, before.deployment, self._askable.ended(question, default), default)
        match to:
            case NotRouted():
                yield from self._not_routed(question, to)
                return None
            case RoutedTo() if why := self._askable.forbids(question, to.deployment):
                yield from self._not_routed(question, NotRouted(sentence=why))
                return None
            case RoutedTo():
                prompt = to.prompt if question.replaces else about(to.prompt, question.about)
                return self._stored(replace(asked, deployment=to.deployment.id, prompt=prompt))

    def _not_routed(self, question: Question, to: NotRouted) -> Steps[None]:
        yield from self.explain(question.key, to.sentence, to.choices, to.prompt, to.why)
        if question.replaces:
            self._questions.forget(question.key)

    def _placed(self, asked: Asked, deployment: Deployment | None) -> Steps[Asked]:
        question = asked.question
        if question.message_ts is None:
            shown = yield from self._notices.prompt(asked, deployment.name if deployment else "a model")
            asked = replace(asked, shown=shown)
        return self._stored(replace(asked, thread=question.thread_ts or question.message_ts or asked.shown))

    def _wait(self, asked: Asked, sentence: str) -> Steps[None]:
        if asked.notice is None:
            self._stored(replace(asked, saying=Saying.WAITING))  # before the post, whose ts may not get recorded
            self._stored(replace(asked, notice=(yield from self._notices.waiting(asked, sentence))))

    def _wake(self, deployment: Deployment, url: str) -> None:
        """Send a request to the gateway and ignore the response. The pool's watch repeats the request."""
        key = self._deployments.own_key(deployment.id)
        try:
            exchange(
                self._http,
                "GET",
                f"{self._gateway or url}/v1/models",
                headers={"Authorization": f"Bearer {key}"},
                within=WAKE_WITHIN,
                most=0,
            )
        except httpx.HTTPError as error:
            _LOG.info("a request to wake %s: %s", deployment.name, type(error).__name__)

    def _answer(self, asked: Asked, deployment: Deployment) -> Steps[None]:
        question, thread = asked.question, asked.thread or ""
        key = self._deployments.own_key(deployment.id)
        if key is None:
            yield from self._over(asked, _VANISHED)
            return
        if asked.tries:
            asked = replace(asked, begun=(*asked.begun, *(yield from self._reading.orphans(asked))))
        asked = self._stored(replace(asked, tries=asked.tries + 1))
        self._sessions.begin(question.channel, thread)
        if asked.notice is not None and (yield from self._notices.withdraw(asked, f"{deployment.name} is ready.")):
            asked = self._stored(replace(asked, notice=None))
        written = _Written(self._questions, asked)
        try:
            with self.withdrawals.of(question.key) as withdrawal:
                text = yield from self._write(written, deployment, key, withdrawal)
        except NoReplicaReady:
            yield from self._sessions.end(question.channel, thread)
            after = self._deployments.by_id(deployment.id)
            if after is not None and isinstance(state := availability(after), HasToWait):
                yield from self._wait(written.asked, state.sentence)
            return  # the question stays stored, and the pool's watch tries again
        except Withdrawn as withdrawn:
            yield from self.endings.withdraw(written.asked, withdrawn)
            return
        if written.asked.notice is not None:  # Slack was busy when the answer began
            yield from self._notices.insist_on_withdrawal(written.asked, f"{deployment.name} was ready.")
        self._threads.answered(written.asked, deployment.id, text)
        yield from self.endings.end(written.asked)

    def _write(self, written: "_Written", deployment: Deployment, key: str, withdrawal: Withdrawal) -> Steps[str]:
        """Write the answer, and return the model's text. Raises NoReplicaReady, Withdrawn, Stopping, SlackFailed."""
        asked, question, thread = written.asked, written.asked.question, written.asked.thread or ""
        place = AnswerPlace(channel=question.channel, thread=thread, team=question.team, user=question.user)
        record = AnswerRecord(
            metadata=metadata(ANSWER_EVENT, question.key, question.replaces),
            starting=written.starting,
            began=written.add,
            removed=written.remove,
            lost=by_and_by(lambda: self._reading.orphans(written.asked)),
            is_alone=lambda: not self.endings.is_continued(asked),
        )
        reply = Reply(
            self._slack,
            place,
            self._open,
            record,
            ticket=(asked.asked_at.timestamp(), question.key),
            streams_in_channels=self._streams_in_channels,
            withdrawal=withdrawal,
            begun=asked.begun,
            growing=growing(question.key),
        )
        with reply:
            said, settings = (
                (yield from self._reading.said(asked, deployment.name)),
                self._settings.of(question.channel, question.user),
            )
            try:
                images, checks = self._writing.images_at_once(deployment.id), (withdrawal.check, self._writing.check)
                with self._attachments.read(
                    said, checks, images=images, name=deployment.name, channel=question.channel
                ) as read:
                    end = self._writing.write(
                        deployment.id,
                        self._addresses(deployment, key),
                        read.said,
                        read.question,
                        reply,
                        settings=settings,
                        left_out=read.left_out,
                    )
                below = self._below.of(asked, deployment, end)
                yield from reply.finish(end.text, closing=end.closing, below=below)
            except Withdrawn as withdrawn:
                is_stopped = withdrawn.why is Why.STOPPED
                is_closed = is_stopped and (yield from reply.stopped(self._below.of(asked, deployment, STOPPED)))
                raise Withdrawn(withdrawn.why, reply.shown, is_closed=is_closed) from withdrawn
        return end.text

    def _addresses(self, deployment: Deployment, key: str) -> Callable[[Collection[str]], EngineEndpoint | None]:
        def look(failed: Collection[str]) -> EngineEndpoint | None:
            now = self._deployments.by_id(deployment.id)
            if now is None or not isinstance(availability(now), AnswersNow):
                raise NoReplicaReady(f"{deployment.name} is not ready.")
            url = address(now, failed, inside=self._gateway)
            return EngineEndpoint(name=deployment.name, url=url, key=key) if url else None

        return look

    def _stored(self, asked: Asked) -> Asked:
        self._questions.put(asked)
        return asked


class _Written:
    """Records each message of an answer as it is posted."""

    def __init__(self, questions: Questions, asked: Asked) -> None:
        self._questions = questions
        self.asked = asked

    def starting(self) -> None:
        if self.asked.starting is None:
            self.asked = replace(self.asked, starting=datetime.now(UTC))
            self._questions.put(self.asked)

    def add(self, ts: str) -> None:
        self.asked = replace(self.asked, begun=(*self.asked.begun, ts), starting=None)
        self._questions.put(self.asked)

    def remove(self, ts: str) -> None:
        self.asked = replace(self.asked, begun=tuple(other for other in self.asked.begun if other != ts))
        self._questions.put(self.asked)
