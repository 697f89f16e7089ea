"""What the buttons below an answer do: ask again, ask another deployment, give feedback, stop."""

from msgspec.structs import replace

from bot.commands.context import Caller, CommandContext
from bot.commands.errors import CommandError
from bot.commands.lookup import check
from bot.commands.policy import Permission
from bot.language.command import SLASH
from bot.language.question import Question, QuestionKey
from bot.prompting.given_answers import GivenAnswer
from bot.slack.message import Message
from bot.views.escape import escape
from workers.deployment.condition import is_ending
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment

TOO_OLD = "The buttons of this answer no longer work: the bot keeps what they need for 7 days. Ask the question again."
FORGOTTEN = (
    "This question is about another message, whose text the bot keeps for an hour only, so it was not asked again. "
    "Choose *Ask a model about this* in the menu of that message."
)


def regenerate(key: str, caller: Caller, context: CommandContext) -> Message:
    """Ask the question of an answer again. Everyone who reads the thread may, as with a reply. Raises CommandError."""
    answer = _given(key, caller, context)
    state = _running(answer, context, "the question was not asked again")
    return _ask(answer, state, caller, context)


def ask_another(deployment: str, key: str, caller: Caller, context: CommandContext) -> Message:
    """Ask another deployment the question of an answer, if the caller may see it. Raises CommandError."""
    answer = _given(key, caller, context)
    state = context.deployments.by_id(DeploymentId(deployment))
    if state is None or is_ending(state) or not context.sight.sees(caller.viewer, state):
        raise CommandError("This deployment has ended, so it was not asked.", hint=f"{SLASH} status")
    return _ask(answer, state, caller, context)


def _running(answer: GivenAnswer, context: CommandContext, undone: str) -> Deployment:
    """The deployment that gave the answer. Raises CommandError with the consequence `undone` if it has ended."""
    state = context.deployments.by_id(answer.deployment)
    if state is None or is_ending(state):
        raise CommandError(
            f"*{escape(answer.name)}* has ended, so {undone}. Ask another one: reply here and begin with its name, as "
            "in `NAME: …`.",
            hint=f"{SLASH} status",
        )
    return state


def rate(key: str, *, good: bool, caller: Caller, context: CommandContext) -> Message:
    """Count a person's feedback on an answer, once. Raises CommandError."""
    answer = _given(key, caller, context)
    _running(answer, context, "feedback on its answers is no longer counted")
    rating = "good" if good else "bad"
    if not context.given.rate(answer, caller.user, good=good):
        return Message(text=f"You have called this answer {rating} already.")
    return Message(
        text=f"Thank you. You called this answer of *{escape(answer.name)}* {rating}; to change that, press the other "
        f"button. `{SLASH} status {answer.name}` shows the counts."
    )


def rated(state: Deployment, context: CommandContext) -> str:
    """The feedback on a deployment's answers; empty if none. Raises RedisError."""
    said = context.given.rated(state.id)
    return f"{said.good} good, {said.bad} bad" if said.good or said.bad else ""


def stop_answer(key: str, caller: Caller, context: CommandContext) -> Message:
    """End an answer that is being written. Everyone who reads the thread may, as with Slack's Stop."""
    if context.answers.stop_one(caller.channel, QuestionKey(key)):
        return Message(text="")
    return Message(text="This answer is not being written any more, so there is nothing to stop.")


def _given(key: str, caller: Caller, context: CommandContext) -> GivenAnswer:
    """The answer, if it was given in the channel of the press."""
    answer = context.given.get(QuestionKey(key))
    if answer is None or answer.question.channel != caller.channel:
        raise CommandError(TOO_OLD)
    return answer


def _ask(answer: GivenAnswer, state: Deployment, caller: Caller, context: CommandContext) -> Message:
    check(Permission.ASK, state, caller, context)
    question = answer.question
    again = replace(
        question,
        id=caller.once,
        team=caller.team,
        user=caller.user,  # the person who presses is the asker
        outside=caller.outside,
        text="",  # read from the thread when it is answered
        thread_ts=answer.thread,
        message_ts=question.message_ts or answer.shown or answer.thread,
        deployment=state.name,
        chosen=True,
        replaces=question.key,
    )
    if question.about is not None and not _is_remembered(again, context):
        raise CommandError(FORGOTTEN)
    name = escape(state.name)
    if not context.answers.ask(again):
        raise CommandError(f"*{name}* was already asked this again (see the thread), or the question was deleted.")
    return Message(text=f"Asked *{name}*. The answer follows in the thread.")


def _is_remembered(question: Question, context: CommandContext) -> bool:
    """Whether the text of a question about a message is still in Redis: no message shows it whole."""
    return question.message_ts in context.threads.recall(question.channel, question.thread_ts or "").prompts
