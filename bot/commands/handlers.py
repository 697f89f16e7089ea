"""The handlers of the commands: one function each, which returns the reply that only the caller sees."""

from datetime import datetime, timedelta
from typing import assert_never

from msgspec.structs import replace

from bot.commands.answer_handlers import rated
from bot.commands.config_handler import config
from bot.commands.context import Caller, CommandContext
from bot.commands.cost_handler import cost
from bot.commands.errors import CommandError, NotShown
from bot.commands.key_handlers import keys
from bot.commands.launch_handler import launch
from bot.commands.launch_offers import opened_by_command
from bot.commands.lookup import check, check_present, named, one, seen, which
from bot.commands.needed_approval import may_approve
from bot.commands.plan_handler import plan
from bot.commands.policy import Permission
from bot.commands.rights import allowed, forbidden_commands
from bot.commands.scale_handler import scale_to
from bot.commands.share_handler import share, unshare
from bot.language.command import (
    SLASH,
    Ask,
    Command,
    Config,
    Cost,
    Down,
    Endpoint,
    Form,
    Help,
    Launch,
    ListKeys,
    Logs,
    NewKey,
    Plan,
    Recipes,
    RevokeKey,
    Scale,
    Share,
    Status,
    Unshare,
    UsageError,
)
from bot.language.question import Question
from bot.prompting.drafts import ChoiceDraft
from bot.prompting.routing import NotRouted, route
from bot.slack.message import NOTHING, Message
from bot.views import end_question, missing_workers, orphan_machines
from bot.views import endpoint as endpoint_view
from bot.views import help as help_view
from bot.views import logs as logs_view
from bot.views import recipes as recipes_view
from bot.views import refusal as refusal_view
from bot.views import status as status_view
from bot.views.alerts import KEPT_FOR
from bot.views.amounts import duration, moment
from bot.views.answer_choice import choice
from bot.views.escape import code, escape
from workers.api import KEEP_TRYING_FOR
from workers.deployment.asked import note
from workers.deployment.condition import condition_of, is_ending
from workers.deployment.events import Clock
from workers.deployment.state import Deployment

LOG_LINES = 40


def handle(command: Command | UsageError, caller: Caller, context: CommandContext) -> Message:  # noqa: C901 - one case per command
    """Carry a command out. Raises CommandError, WorkersError, RecipeError, RedisError."""
    match command:
        case UsageError():
            return misunderstood(command)
        case Launch():
            return launch(command, caller, context)
        case Status():
            return status(command, caller, context)
        case Scale():
            return scale(command, caller, context)
        case Ask():
            return ask(command, caller, context)
        case Endpoint():
            return endpoint(command, caller, context)
        case ListKeys() | NewKey() | RevokeKey():
            return keys(command, caller, context)
        case Logs():
            return logs(command, caller, context)
        case Plan():
            return plan(command, context)
        case Cost():
            return cost(command, caller, context)
        case Recipes():
            return recipes(context)
        case Config():
            return config(caller, context)
        case Share():
            return share(command, caller, context)
        case Unshare():
            return unshare(command, caller, context)
        case Down():
            return down(command, caller, context)
        case Help():
            return help_view.help(command.command, forbidden_commands(caller.user, caller.channel, context))
        case Form():
            return opened_by_command(caller, context)
        case _:
            assert_never(command)


def misunderstood(error: UsageError) -> Message:
    hint = f"Usage: {code(error.usage)}"
    if error.nearest:  # which may end as a sentence does
        is_whole = error.nearest[-1] in ".?!"
        hint = f"Did you mean this? {code(error.nearest)}" if is_whole else f"Did you mean {code(error.nearest)}?"
    return refusal_view.refusal(escape(error.sentence), hint=hint, command=error.nearest or error.usage)


def status(command: Status, caller: Caller, context: CommandContext) -> Message:
    if command.name is None:
        shown = seen(caller, context)
        # Without their logs, the people who may see them are not known.
        lost = () if caller.outside else context.deployments.lost()
        missing = context.deployments.workers_away()
        away = missing_workers.in_list(missing) if shown else ""
        unknown = orphan_machines.in_list(context.deployments.orphans()) if caller.user in context.admins else ""
        warnings = "\n".join(filter(None, (away, unknown)))
        return status_view.overview(shown, context.now(), lost=lost, away=warnings, missing=missing)
    state = named(command.name, "status {}", caller, context)
    missing = context.deployments.workers_away()
    return status_view.detail(state, context.now(), rated=rated(state, context), missing=missing)


def scale(command: Scale, caller: Caller, context: CommandContext) -> Message:
    form = f"scale {{}} {command.replicas}"
    if command.name is None:
        raise which(form, caller, context)
    state = named(command.name, form, caller, context)
    return scale_to(state, command.replicas, caller, context)


def ask(command: Ask, caller: Caller, context: CommandContext) -> Message:
    question = Question(
        id=caller.once,
        team=caller.team,
        channel=caller.channel,
        user=caller.user,
        text=command.text,
        response_url=caller.response_url,
        outside=caller.outside,
    )
    default = context.settings.of(caller.channel, caller.user).default
    running = context.askable.running(question, default=default)
    found = route(question, running, None, context.askable.ended(question, default), default)
    if isinstance(found, NotRouted) and not found.choices:
        raise CommandError(escape(found.sentence))
    if not isinstance(found, NotRouted):
        check(Permission.ASK, found.deployment, caller, context)
    check_present(caller, context, "The question was not sent", "ask again")
    if isinstance(found, NotRouted):
        draft = context.drafts.add(caller.user, ChoiceDraft(question=replace(question, text=found.prompt)))
        return choice(found.sentence, draft, found.choices, found.why)
    context.answers.ask(question)
    return _asked(found.deployment.name)


def written(draft: str, caller: Caller, context: CommandContext) -> Question:
    """The question that this person has written here. Raises CommandError if there is none, or it has expired."""
    found = context.drafts.get(caller.user, draft, ChoiceDraft)
    if found is None or found.question.channel != caller.channel:
        raise CommandError("This button is no longer valid, so nothing was asked. Write the question again.")
    return found.question


def ask_again(question: Question, state: Deployment, caller: Caller, context: CommandContext) -> Message:
    """Send a question that this person has written to the deployment that they have chosen, and may see."""
    check(Permission.ASK, state, caller, context)
    name = escape(state.name)
    if is_ending(state):
        raise CommandError(f"*{name}* has ended, so it was not asked.", hint=f"{SLASH} status")
    chosen = replace(
        question,
        team=caller.team,
        user=caller.user,
        outside=caller.outside,
        deployment=state.name,
        chosen=True,
        response_url=None,
    )
    if not context.answers.ask(chosen):
        return Message(text=f"*{name}* has been asked this already. To ask it again, write the question again.")
    return _asked(state.name)


def _asked(name: str) -> Message:
    return Message(text=f"Asked *{escape(name)}*. The answer follows here, in a thread.")


def endpoint(command: Endpoint, caller: Caller, context: CommandContext) -> Message:
    return endpoint_of(one(command.name, "endpoint {}", caller, context), caller, context)


def endpoint_of(state: Deployment, caller: Caller, context: CommandContext) -> Message:
    """A deployment's address with its key, for the command and the card's button.

    A caller who may not see it, and has a key of their own, is shown how to use that one.
    """
    held = [key.id for key in state.keys if key.user == caller.user]
    if held and state.endpoint is not None and not allowed(caller.user, Permission.SEE_KEY, state, context):
        return endpoint_view.held(state, held)
    check(Permission.SEE_KEY, state, caller, context)
    note("the launcher's key was shown")
    return endpoint_view.endpoint(state, context.deployments.key(state.id), python=True)


def logs(command: Logs, caller: Caller, context: CommandContext) -> Message:
    return logs_of(one(command.name, "logs {}", caller, context), caller, context)


def logs_of(state: Deployment, caller: Caller, context: CommandContext) -> Message:
    """The end of each replica's log."""
    check(Permission.SEE_LOGS, state, caller, context)
    return logs_view.logs(state.name, context.deployments.logs(state.id, LOG_LINES, newest=logs_view.MAX_REPLICAS))


def recipes(context: CommandContext) -> Message:
    found, broken = context.recipes.all()
    return recipes_view.recipes(found, [str(error) for error in broken], default=context.recipes.default)


def down(command: Down, caller: Caller, context: CommandContext) -> Message:
    if command.name is None:
        raise which("down {}", caller, context)
    return ask_to_end(named(command.name, "down {}", caller, context), caller, context)


def ask_to_end(state: Deployment, caller: Caller, context: CommandContext) -> Message:
    """Ask before the end, for the command and the card's button: in a modal, or by a button if Slack refuses it.

    Only those who may end it are asked.
    """
    check(Permission.END, state, caller, context)
    if reply := ends_already(state):
        return reply
    try:
        context.channels.open_modal(caller.once, end_question.modal(state))
    except NotShown:
        return end_question.message(state)
    return NOTHING


def end(state: Deployment, caller: Caller, context: CommandContext) -> Message:
    """End a deployment. Those who press have been asked."""
    check(Permission.END, state, caller, context)
    if reply := ends_already(state):
        return reply
    after = context.deployments.stop(state.id, by=caller.user)
    if after.stopped_by != caller.user and (reply := ends_already(after)):
        return reply
    return Message(text=f"Ending *{state.name}*. Its card shows when all its machines have ended.")


def ends_already(state: Deployment) -> Message | None:
    """The reply to a request to end what has ended or is ending; None if it runs."""
    status = "down" if state.ended else "shutting down"
    return Message(text=f"*{state.name}* is {status} already.") if is_ending(state) else None


def keep_trying(state: Deployment, caller: Caller, context: CommandContext) -> Message:
    """Try a dry ladder again at intervals, for the card's button."""
    check(Permission.KEEP_TRYING, state, caller, context)
    if is_ending(state):
        return Message(
            text=f"*{state.name}* has ended. Launch it again with {code(f'{SLASH} launch {state.recipe.name}')}."
        )
    after = context.deployments.keep_trying(state.id, by=caller.user)
    asked = after.keep_trying
    if asked is None or is_ending(after):
        return Message(text=f"*{state.name}* is {condition_of(after).status}: it no longer looks for a machine.")
    hours = KEEP_TRYING_FOR.total_seconds() / 3600
    return Message(
        text=f"*{state.name}* tries again every {duration(asked.every)} for up to {hours:.0f} h. End it to stop that."
    )


def hold(state: Deployment, clock: Clock, announced: datetime, caller: Caller, context: CommandContext) -> Message:
    """Keep a clock from the end or the pause that was announced for this time, for the button of the announcement.

    `announced`: in whole seconds, as the button has it.
    """
    check(Permission.KEEP, state, caller, context)
    if reply := ends_already(state):
        return reply
    notice = state.idle_end if clock is Clock.IDLE else state.pause_announced
    if notice is None or int(notice.until.timestamp()) != int(announced.timestamp()):
        return Message(text=f"This announcement of *{state.name}* no longer holds, so nothing was changed.")
    until = max(notice.until, context.now()) + KEPT_FOR
    after = context.deployments.hold(state.id, clock, until, by=caller.user)
    if reply := ends_already(after):
        return reply
    what = "end for lack of requests" if clock is Clock.IDLE else "pause"
    said = f"*{state.name}* does not {what} before {moment(until)}. Its thread announces it 15 minutes before."
    return Message(text=said)


def keep(state: Deployment, announced: datetime, caller: Caller, context: CommandContext) -> Message:
    """Move the end of a deployment that was announced for this time, for the button of the announcement.

    `announced`: in whole seconds, as the button has it.
    """
    check(Permission.KEEP, state, caller, context)
    if reply := ends_already(state):
        return reply
    if state.until is None or int(state.until.timestamp()) != int(announced.timestamp()):
        ends = f"now ends {moment(state.until)}" if state.until else "has no time at which it ends"
        return Message(text=f"*{state.name}* was already kept: it {ends}.")
    until = max(state.until, context.now()) + KEPT_FOR
    most, allowed = _longest(state, caller, context)
    if most is not None and until > state.requested_at + most:
        until = state.requested_at + most
        if until <= max(state.until, context.now()):
            return Message(text=f"*{state.name}* cannot be kept: it ends {moment(state.until)}. {allowed}")
    after = context.deployments.keep_until(state.id, until, by=caller.user)
    if reply := ends_already(after):
        return reply
    return Message(text=f"*{state.name}* now ends {moment(until)}. Its thread announces it 15 minutes before.")


def _longest(state: Deployment, caller: Caller, context: CommandContext) -> tuple[timedelta | None, str]:
    """Maximum time from the launch to the end that this person may set, and the sentence about it; None without one.

    Else an end under the threshold of the approvals could be moved beyond it without an approval.
    """
    policy = context.policy()
    most, hours = policy.clocks.most_lasts, policy.approvals.hours
    free = state.approved is not None or may_approve(caller.user, state.place.user, state.place.channel, context)
    if hours is not None and not free and (most is None or timedelta(hours=float(hours)) < most):
        most = timedelta(hours=float(hours))
        allowed = f"The policy allows {duration(most)} from the launch without an approval."
        return most, f"{allowed} A co-owner who may approve can keep it."
    return most, f"The policy allows {duration(most)} from the launch." if most is not None else ""
