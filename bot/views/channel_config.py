"""PURE: the settings of a channel: as a list, as a form, and the line that announces a change."""

from collections.abc import Iterable, Sequence
from typing import Any

from bot.language.channel_settings import MAX_SYSTEM_PROMPT, MAX_TEMPERATURE, ChannelSettings
from bot.language.question import is_direct
from bot.slack.message import Message
from bot.views.blocks import MAX_SECTION, Block, actions, button, context, listed, plain, section
from bot.views.escape import clip, escape, inert
from bot.views.words import user as mention

CALLBACK = "channel_config"
DEFAULT, SYSTEM, TEMPERATURE, THREADS, DIGEST = "default", "system", "temperature", "threads", "digest"
"""Each is the block_id of an input, and the action_id of its element."""
RESET = "config_reset"
"""The action_id of the button. Its value is the channel."""

NO_DEFAULT = "-"
UNASKED = {"yes": "Answer every message in them", "no": "Answer only messages that mention the bot"}
MAX_OPTIONS = 100
PROMPT_SHOWN = 200
"""Maximum number of characters of a system prompt that an announcement quotes."""

_NONE_DEFAULT = "none: a question without a name goes to the only deployment that can answer"
_NO_TEMPERATURE = "the engine's default"


def shown(settings: ChannelSettings, channel: str, who: str) -> Message:
    """The settings in force. `who`: the sentence about the people who may change them."""
    prompt = f"\n>{_quoted(settings.system_prompt, 2_000)}" if settings.system_prompt else " none"
    lines = [
        f"*Default deployment:* {_default(settings)}",
        f"*Temperature:* {_temperature(settings)}",
        *([] if is_direct(channel) else [f"*Threads that the bot answered:* {_threads(settings)}"]),
        *([] if is_direct(channel) else [f"*Costs of the last week on Mondays:* {_digest(settings)}"]),
        f"*System prompt:*{prompt}",
    ]
    title = f"The settings of {_place(channel)}:"
    text = listed([title, *(f"• {line}" for line in lines)], MAX_SECTION)
    return Message(title, (section(text), context(who)))


def modal(settings: ChannelSettings, draft: str, channel: str, names: Sequence[str]) -> dict[str, Any]:
    """A form whose private_metadata is the id of its draft. `names`: the deployments that can be its default.

    The inputs contain what is set. The placeholder of an empty input is its default.
    """
    return {
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": draft,
        "title": plain("Settings", 24),
        "submit": plain("Save", 24),
        "close": plain("Cancel", 24),
        "blocks": [
            section(f"These settings apply to questions in {_place(channel)}. A change is announced here."),
            _default_input(settings.default, names),
            _system_input(settings.system_prompt),
            _temperature_input(settings.temperature),
            *([] if is_direct(channel) else [_threads_input(unasked=settings.unasked)]),
            *([] if is_direct(channel) else [_digest_input(digest=settings.digest)]),
            actions([_reset(draft)]),
        ],
    }


def announcement(before: ChannelSettings, after: ChannelSettings, channel: str, user: str) -> Message | None:
    """The line about a change, with the start of the prompt; None if nothing changed."""
    changes = list(_changes(before, after))
    if not changes:
        return None
    place = _place(channel)
    if _same(after, ChannelSettings()):
        return Message(f"{mention(user)} reset the settings of {place} to the defaults (`/mixtral config`).")
    return Message(f"{mention(user)} changed the settings of {place} (`/mixtral config`): {'; '.join(changes)}.")


def _changes(before: ChannelSettings, after: ChannelSettings) -> Iterable[str]:
    if before.default != after.default:
        yield f"default deployment {f'*{escape(after.default)}*' if after.default else 'none'}"
    if before.system_prompt != after.system_prompt:
        said = f"“{_quoted(after.system_prompt, PROMPT_SHOWN)}”" if after.system_prompt else "none"
        yield f"system prompt {said}"
    if before.temperature != after.temperature:
        yield f"temperature {_temperature(after)}"
    if before.unasked != after.unasked:
        yield f"threads that the bot answered: {_threads(after)}"

    if before.digest != after.digest:
        yield f"costs of the last week on Mondays: {_digest(after)}"


def _same(settings: ChannelSettings, other: ChannelSettings) -> bool:
    return not list(_changes(settings, other))


def _place(channel: str) -> str:
    return "your direct messages with the bot" if is_direct(channel) else "this channel"


def _quoted(prompt: str, limit: int) -> str:
    return clip(inert(" ".join(prompt.split())), limit)


def _default(settings: ChannelSettings) -> str:
    return f"*{escape(settings.default)}*" if settings.default else _NONE_DEFAULT


def _temperature(settings: ChannelSettings) -> str:
    return _NO_TEMPERATURE if settings.temperature is None else f"{settings.temperature:g}"


def _threads(settings: ChannelSettings) -> str:
    return (
        "every message in them is answered" if settings.unasked else "only messages that mention the bot are answered"
    )


def _digest(settings: ChannelSettings) -> str:
    return "posted here at 09:00" if settings.digest else "not posted"


def _default_input(default: str | None, names: Sequence[str]) -> Block:
    options = {NO_DEFAULT: "None"} | {name: name for name in names[: MAX_OPTIONS - 2]}
    if default is not None and default not in options:
        options[default] = f"{default} (has ended)"
    hint = "It gets the questions that name no deployment. Without it, the only one that can answer gets them."
    return _input(
        DEFAULT, "Default deployment", hint, _choice("static_select", DEFAULT, options, default or NO_DEFAULT)
    )


def _system_input(prompt: str) -> Block:
    element = {
        "type": "plain_text_input",
        "action_id": SYSTEM,
        "multiline": True,
        "max_length": MAX_SYSTEM_PROMPT,
        "placeholder": plain("None: the model gets only the conversation", 150),
    }
    hint = (
        f"It comes before each conversation, and uses a part of the context. At most {MAX_SYSTEM_PROMPT:,} characters."
    )
    return _input(SYSTEM, "System prompt", hint, element | ({"initial_value": prompt} if prompt else {}))


def _temperature_input(temperature: float | None) -> Block:
    element = {
        "type": "number_input",
        "action_id": TEMPERATURE,
        "is_decimal_allowed": True,
        "min_value": "0",
        "max_value": f"{MAX_TEMPERATURE:g}",
        "placeholder": plain(_NO_TEMPERATURE.capitalize(), 150),
    }
    hint = f"From 0 to {MAX_TEMPERATURE:g}. With 0, the model gives the most likely answer."
    initial = {} if temperature is None else {"initial_value": f"{temperature:g}"}
    return _input(TEMPERATURE, "Temperature", hint, element | initial)


def _threads_input(*, unasked: bool) -> Block:
    hint = "In such a thread, messages that begin with the mention of another person are never answered."
    chosen = "yes" if unasked else "no"
    return _input(THREADS, "Threads that the bot answered", hint, _choice("radio_buttons", THREADS, UNASKED, chosen))


def _digest_input(*, digest: bool) -> Block:
    option = {"text": plain("Post what the last week cost, on Mondays at 09:00", 75), "value": "yes"}
    element = {"type": "checkboxes", "action_id": DIGEST, "options": [option]}
    hint = "For the deployments that were launched in this channel. The zone is that of the budgets, or UTC."
    return _input(DIGEST, "Costs", hint, element | ({"initial_options": [option]} if digest else {}))


def _choice(kind: str, action: str, options: dict[str, str], chosen: str) -> Block:
    def option(value: str) -> Block:
        return {"text": plain(options[value], 75), "value": value}

    return {
        "type": kind,
        "action_id": action,
        "options": [option(value) for value in options],
        "initial_option": option(chosen),
    }


def _input(block: str, label: str, hint: str, element: Block) -> Block:
    return {
        "type": "input",
        "block_id": block,
        "optional": True,
        "label": plain(label, 100),
        "hint": plain(hint, 150),
        "element": element,
    }


def _reset(draft: str) -> Block:
    return button("Reset to defaults", RESET, draft) | {
        "confirm": {
            "title": plain("Reset to defaults?", 100),
            "text": plain("All settings here are set to their defaults.", 300),
            "confirm": plain("Reset", 30),
            "deny": plain("Keep", 30),
        }
    }
