"""The page of the commands in Slack and on the command line."""

import click

from bot.cli.__main__ import main
from bot.language.command import MEANT, SAME_AS, SLASH, USAGES, usage
from bot.views.help import ENTRIES
from tests.reference.source import table

SLACK = """# Commands

## In Slack

A mention of the bot, a message in a thread that the bot answered, and a direct message are prompts, as with `ask`."""


def page() -> str:
    return "\n\n".join([SLACK, *map(_slack, USAGES), _words(), "## On the command line", *_command_line()])


def _slack(command: str) -> str:
    entry = ENTRIES[command]
    about = f"{entry.about[0].upper()}{entry.about[1:]}. {entry.more}".strip()
    shown = "\n".join(f"{SLASH} {example}" for example in entry.examples)
    return f"### `{usage(command)}`\n\n{about}\n\n```\n{shown}\n```"


def _words() -> str:
    same = ", ".join(f"`{word}` is the same as `{command}`" for word, command in SAME_AS.items())
    rows = [
        (f"`{command}`", ", ".join(f"`{word}`" for word, meant in MEANT.items() if meant == command))
        for command in USAGES
        if command in MEANT.values()
    ]
    return (
        f"### Other words\n\n{same}. The following words run nothing; the answer suggests the command.\n\n"
        f"{table(('command', 'suggested for'), rows)}"
    )


def _command_line() -> list[str]:
    context = click.Context(main, info_name="mixtral-bot")
    return [_command(name, command, context) for name, command in sorted(main.commands.items())]


def _command(name: str, command: click.Command, parent: click.Context) -> str:
    context = click.Context(command, info_name=name, parent=parent)
    usage_line = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    rows = [
        (f"`{record[0]}`", record[1])
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context)) is not None and record[1] and parameter.name != "help"
    ]
    parts = (f"### `{usage_line}`", command.help, table(("option", "meaning"), rows) if rows else "")
    return "\n\n".join(part for part in parts if part)
