"""The form in which a person writes a question: from a button of a deployment, or about a message."""

from msgspec.structs import replace
from slack_bolt import App

from bot.commands.context import Caller
from bot.commands.errors import CommandError, WrongInput
from bot.commands.lookup import check, seen
from bot.commands.policy import Permission
from bot.commands.rights import allowed
from bot.language.command import SLASH
from bot.language.question import Question
from bot.language.quoted_message import QuotedMessage, quoted_message
from bot.prompting.drafts import AskDraft
from bot.prompting.routing import NOTHING_RUNS, HasEnded, availability
from bot.screens.presses import NOTHING, Presses, metadata_of, values_of
from bot.slack.failures import SlackFailed
from bot.slack.message import JSON, Message
from bot.views import ask_form as view_of
from bot.views.escape import escape
from workers.deployment.condition import is_ending
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment

BUTTON = "card_ask"
"""Its value is the id of the deployment."""

HERE, IN_ITS_THREAD = (
    "The answer follows in this channel, in a thread.",
    "The answer follows in the thread of the message.",
)
PRIVATELY = "The answer follows in your direct messages with the bot."
CANNOT_WRITE = "The bot cannot write in this channel, so the answer follows in your direct messages with the bot."
TOO_OLD = "This window has expired. Copy your question, close the window, and open it again."


class AskForm:
    """Opens the form, and asks what is submitted, once."""

    def __init__(self, presses: Presses) -> None:
        self._presses = presses
        self._context = presses.context

    def register(self, app: App) -> None:
        app.action(BUTTON)(self._presses.click("ask", self._of_deployment, ack_within=0))
        app.shortcut(view_of.SHORTCUT)(self._presses.click("shortcut", self._about_message, ack_within=0))
        app.view(view_of.CALLBACK)(self._presses.submitted("ask", self._ask))

    def _of_deployment(self, body: JSON, caller: Caller) -> Message:
        state = self._presses.deployment(body, caller)
        check(Permission.ASK, state, caller, self._context)
        if isinstance(gone := availability(state), HasEnded):
            raise CommandError(escape(gone.sentence.replace("**", "*")))
        channel, place = self._place(caller, HERE)
        return self._opened(caller, [state], AskDraft(channel=channel), place)

    def _about_message(self, body: JSON, caller: Caller) -> Message:
        message = body.get("message") or {}
        quoted = quoted_message(message)
        if not (quoted.text or quoted.files):
            raise CommandError("This message has no text that a model could read. Nothing was asked.")
        running = [
            state
            for state in seen(caller, self._context)
            if not is_ending(state) and allowed(caller.user, Permission.ASK, state, self._context)
        ]
        if not running:
            raise CommandError(NOTHING_RUNS)
        channel, place = self._place(caller, IN_ITS_THREAD)
        if channel != caller.channel:
            draft = AskDraft(quoted=replace(quoted, channel=caller.channel))
        else:
            thread = message.get("thread_ts") or message.get("ts") or body.get("message_ts")
            draft = AskDraft(channel=channel, thread=thread, quoted=quoted)
        here = sorted(running, key=lambda state: (state.place.channel != caller.channel, not state.ready, state.name))
        return self._opened(caller, here, draft, place)

    def _opened(self, caller: Caller, deployments: list[Deployment], draft: AskDraft, place: str) -> Message:
        chosen = self._context.settings.of(caller.channel, caller.user).default or ""
        if len(deployments) == 1:
            draft = replace(draft, deployment=deployments[0].id)
        id_ = self._context.drafts.add(caller.user, draft)
        view = view_of.modal(id_, deployments, place, draft.quoted, chosen)
        return self._presses.opened(caller, view, f"{SLASH} ask {deployments[0].name}: …")

    def _place(self, caller: Caller, here: str) -> tuple[str, str]:
        """The channel that gets the question, and the sentence about it; "" for the person's direct messages."""
        if not caller.channel:
            return "", PRIVATELY
        obstacle = self._context.channels.obstacle(caller.channel, caller.user)
        return ("", CANNOT_WRITE) if obstacle else (caller.channel, here)

    def _ask(self, view: JSON, caller: Caller) -> Message:
        draft = self._draft(metadata_of(view), caller)
        values = {block: action.get(block) or {} for block, action in values_of(view).items()}
        text = _text(values.get(view_of.QUESTION, {}).get("value") or "")
        chosen = (values.get(view_of.MODEL, {}).get("selected_option") or {}).get("value") or ""
        # The draft is not from the payload: the person wrote from its channel.
        state = self._presses.by_id(draft.deployment or DeploymentId(chosen), replace(caller, channel=draft.channel))
        if why := self._context.sight.forbids(caller.user, Permission.ASK, state.place.channel, state.name):
            raise WrongInput(view_of.QUESTION, why)
        if isinstance(gone := availability(state), HasEnded):
            sentence = gone.sentence.replace("**", "")
            raise WrongInput(view_of.QUESTION, f"{sentence} Copy your question before you close this window.")
        self._context.answers.ask(
            Question(
                id=f"form.{metadata_of(view)}",
                team=caller.team,
                channel=draft.channel or self._direct(caller),
                user=caller.user,
                text=text,
                deployment=state.name,
                thread_ts=draft.thread,
                outside=caller.outside,
                about=draft.quoted and self._named(draft.quoted),
            )
        )
        return NOTHING

    def _draft(self, id_: str, caller: Caller) -> AskDraft:
        draft = self._context.drafts.get(caller.user, id_, AskDraft)
        if draft is None:
            raise WrongInput(view_of.QUESTION, TOO_OLD)
        return draft

    def _direct(self, caller: Caller) -> str:
        try:
            return self._presses.slack.open_direct(caller.user)
        except SlackFailed as failed:
            sentence = f"Your direct messages with the bot could not be opened: {failed} Send it again in a moment."
            raise WrongInput(view_of.QUESTION, sentence) from failed

    def _named(self, quoted: QuotedMessage) -> QuotedMessage:
        return replace(quoted, name=self._context.sight.name_of(quoted.author))


def _text(typed: str) -> str:
    text = typed.strip()
    if not text:
        raise WrongInput(view_of.QUESTION, "Write a question.")
    if len(text) > view_of.MAX_QUESTION:
        most = f"at most {view_of.MAX_QUESTION:,} fit into this window"
        mend = "Shorten it, or write it in a message that mentions the bot"
        raise WrongInput(view_of.QUESTION, f"This question has {len(text):,} characters, and {most}. {mend}.")
    return text
