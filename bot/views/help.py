"""PURE: `/mixtral help`: every command in a line, or one of them with an example."""

from msgspec import Struct

from bot.language.command import SAME_AS, SLASH, USAGES, usage
from bot.slack.message import Message
from bot.views.blocks import context, section


class Entry(Struct, frozen=True, kw_only=True):
    """What is told of a command."""

    about: str
    """What it does, in a line."""
    more: str = ""
    examples: tuple[str, ...]


ENTRIES = {
    "launch": Entry(
        about="find the cheapest machine that fits, start the model, and say where it answers",
        more=(
            "Without a recipe it takes the installation's default. `as NAME` tells two deployments apart. "
            "`--spot` takes spot prices, `--gpus` and `--clouds` narrow the ladder, `--max-price` is USD per hour "
            "and replica, `--env` sets a variable of the recipe. Secrets come from the worker's environment, "
            "never from Slack. `deploy` is the same word."
        ),
        examples=(
            "launch mixtral-8x7b",
            "launch mixtral-8x7b as fast --replicas 2 --max-price 12.50",
            "launch smollm2-135m",
        ),
    ),
    "status": Entry(
        about="what runs, or one deployment in detail",
        more=("With a name: its replicas and its ladder."),
        examples=(
            "status",
            "status fast",
        ),
    ),
    "scale": Entry(
        about="run another number of replicas behind the same endpoint",
        more=(
            "Replicas are added and drained without an interruption; what answers least goes first, then the dearest. "
            "With 0 the endpoint stays, and waits for replicas. The recipe's `max_replicas` holds, and where its load "
            "decides, `min_replicas` does, too. Only the launcher and the admins may."
        ),
        examples=("scale fast 2", "scale fast 0"),
    ),
    "ask": Entry(
        about="put a prompt to the model; the answer streams into a thread",
        more=(
            "The name can be left out where one deployment runs. A mention, a message in a thread that I answered "
            "and a direct message are prompts, too; the thread is the conversation. A question waits while its "
            "model starts."
        ),
        examples=(
            "ask Name three condiments.",
            "ask fast Name three condiments.",
        ),
    ),
    "endpoint": Entry(
        about="address, key and a `curl` command, for your eyes only",
        more=("The API is OpenAI's. Only the launcher and the admins see the key."),
        examples=("endpoint fast",),
    ),
    "key": Entry(
        about="keys to an endpoint, one for each person: who has one, a new one, an end to one",
        more=(
            "`list` shows ids and owners, and never a key. `new` makes one for you, or for a person, who alone is "
            "shown it, in this channel and once. `revoke` ends one by its id and leaves the others. Anybody may "
            "list, and revoke their own; the launcher and the admins make them, and revoke any."
        ),
        examples=("key fast list", "key fast new", "key fast new @ada", "key fast revoke k-3f9a01"),
    ),
    "logs": Entry(
        about="the last lines that the replicas printed",
        more=("Useful while an engine starts, and when it does not."),
        examples=("logs fast",),
    ),
    "plan": Entry(
        about="the offers for a recipe in price order; starts nothing",
        more=("Offers that cannot be taken stand in it with the reason and what to do about it."),
        examples=("plan mixtral-8x7b --spot",),
    ),
    "recipes": Entry(
        about="what can be launched",
        more=("SkyPilot's service YAML files; `MIXTRAL_RECIPES` names a folder of your own."),
        examples=("recipes",),
    ),
    "down": Entry(
        about="end a deployment and all its machines",
        more=("Only the launcher and the admins may. Its keys stop working at once."),
        examples=("down fast",),
    ),
    "help": Entry(
        about="this list, or one command in detail",
        examples=("help launch",),
    ),
}


def help(command: str | None) -> Message:  # noqa: A001 - the command's own name
    """All commands; or what one does, how it is written, and examples. An unknown one gives all."""
    known = SAME_AS.get(command, command) if command else None
    if known is None or known not in USAGES:
        return _all()
    entry = ENTRIES[known]
    lines = [f"*{known}*: {entry.about}.", f"```\n{usage(known)}\n```", entry.more]
    shown = "\n".join(f"`{SLASH} {example}`" for example in entry.examples)
    return Message(
        f"{usage(known)}: {entry.about}.",
        (section("\n".join(lines).strip()), section(f"For example:\n{shown}")),
    )


def _all() -> Message:
    lines = [f"`{SLASH} {_short(command)}` {entry.about}" for command, entry in ENTRIES.items()]
    return Message(
        f"The commands are {', '.join(USAGES)}.",
        (
            section("\n".join(lines)),
            context(f"`{SLASH} help COMMAND` shows options and examples. Or ask: mention me, or write me a message."),
        ),
    )


def _short(command: str) -> str:
    """The usage without its options, which have a help of their own."""
    return USAGES[command].split(" [--")[0]
