"""The settings of a channel: who may change them, what they are, and what can be set."""

from msgspec.structs import replace

from bot.commands.context import Caller, CommandContext
from bot.commands.errors import CommandError, Denied, NotShown
from bot.commands.lookup import check_present, seen
from bot.language.channel_settings import ChannelSettings
from bot.language.question import is_direct
from bot.prompting.drafts import ConfigDraft
from bot.slack.message import NOTHING, Message
from bot.views import channel_config
from workers.deployment.asked import note
from workers.deployment.condition import is_ending

CHANGES = "Change them with `/mixtral config`."


def config(caller: Caller, context: CommandContext) -> Message:
    """Open the form of the settings; show them to a person who may not change them, and where no modal opens.

    Raises CommandError if the bot cannot write in the channel.
    """
    settings = context.settings.of(caller.channel, caller.user)
    if not may_configure(caller.channel, caller, context):
        return channel_config.shown(settings, caller.channel, f"{_who(context)} can change them.")
    check_present(caller, context, "Settings have no effect here", "type the command again")
    draft = context.drafts.add(caller.user, ConfigDraft(channel=caller.channel))
    view = channel_config.modal(settings, draft, caller.channel, askable_here(caller, context))
    try:
        context.channels.open_modal(caller.once, view)
    except NotShown:  # as after a mention, which opens no modal
        return channel_config.shown(settings, caller.channel, CHANGES)
    return NOTHING


def askable_here(caller: Caller, context: CommandContext) -> list[str]:
    """The names of the running deployments that everyone in the caller's channel may ask."""
    running = [state for state in seen(caller, context) if not is_ending(state)]
    alone = is_direct(caller.channel)
    return [
        state.name
        for state in running
        if alone or state.place.channel == caller.channel or context.sight.is_public(state)
    ]


def may_configure(channel: str, caller: Caller, context: CommandContext) -> bool:
    """Whether the caller may change the settings of a channel.

    Those of direct messages are the caller's own. The person who changed them last may do so again, also after their
    deployment has ended.
    """
    if is_direct(channel) or caller.user in context.admins:
        return True
    here = (d for d in context.deployments.all() if d.place.channel == channel)
    return any(d.place.user == caller.user for d in here) or (
        context.settings.of(channel, caller.user).changed_by == caller.user
    )


def change(channel: str, wanted: ChannelSettings, caller: Caller, context: CommandContext) -> Message | None:
    """Store the settings of a channel; returns what is to be posted there. Raises CommandError, RedisError."""
    if not may_configure(channel, caller, context):
        raise Denied(f"{_who(context)} can change these settings. Nothing was changed.")
    if not _reads(channel, caller, context):
        raise CommandError(
            "Nothing was changed: you are no longer in this channel, or Slack did not answer. Try again in ten seconds."
        )
    before, after = context.settings.of(channel, caller.user), replace(wanted, changed_by=caller.user)
    is_new = after.default not in (None, before.default)
    if is_new and after.default not in askable_here(replace(caller, channel=channel), context):
        raise CommandError(f"{after.default} has ended, or not everyone here may ask it. Choose another deployment.")
    said = channel_config.announcement(before, after, channel, caller.user)
    if said is not None:
        note(f"settings of {channel}")
        context.settings.put(channel, caller.user, after)
    return said


def _reads(channel: str, caller: Caller, context: CommandContext) -> bool:
    """Whether the caller can still read the channel that the form names, also if it is not where they press."""
    viewer = replace(caller.viewer, channel="")
    return is_direct(channel) or context.sight.reads(viewer, launcher="", channel=channel)


def _who(context: CommandContext) -> str:
    admins = f" ({', '.join(f'<@{admin}>' for admin in sorted(context.admins))})" if context.admins else ""
    return f"Only people who launched a deployment in this channel and the admins{admins}"
