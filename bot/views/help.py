"""PURE: `/mixtral help`: every command in a line, or one of them with an example."""

from collections.abc import Collection

from msgspec import Struct

from bot.language.command import SAME_AS, SLASH, USAGES, usage
from bot.slack.message import Message
from bot.views.blocks import actions, context, section
from bot.views.command_button import form_button


class CommandHelp(Struct, frozen=True, kw_only=True):
    about: str
    """What it does, in a line."""
    more: str = ""
    examples: tuple[str, ...]


ENTRIES = {
    "launch": CommandHelp(
        about="find the cheapest machine that fits, start the model, and show its endpoint",
        more=(
            "`/mixtral` alone opens a form with the same options and the price of your choice. "
            "Without RECIPE, the installation's default recipe is launched. `as NAME` names the deployment. "
            "`--spot` rents spot machines, `--gpus` and `--clouds` limit the offers, `--max-price` is the maximum in "
            "USD per hour and replica, `--for` and `--until` set when it ends, "
            "`--stop-after-idle` ends it after that time without a request (announced in its thread 15 minutes "
            "before), `--hours` pauses it at 0 replicas outside the hours, `--env` sets a variable of the "
            "recipe. Secrets come from the worker's environment, never from Slack. `deploy` is another name of "
            "`launch`."
        ),
        examples=(
            "launch mixtral-8x7b",
            "launch mixtral-8x7b as fast --replicas 2 --max-price 12.50",
            "launch smollm2-135m --for 8h --stop-after-idle 2h",
        ),
    ),
    "status": CommandHelp(
        about="all deployments, or one in detail",
        more=("With NAME, it shows the replicas and the ladder."),
        examples=(
            "status",
            "status fast",
        ),
    ),
    "scale": CommandHelp(
        about="change the number of replicas behind an endpoint",
        more=(
            "Requests are not interrupted. Scaling down ends the least ready replicas first, then the most expensive. "
            "With 0, the endpoint stays. The recipe's `max_replicas` is the maximum; if the recipe scales by load, "
            "`min_replicas` is the minimum. Only its co-owners can scale."
        ),
        examples=("scale fast 2", "scale fast 0"),
    ),
    "ask": CommandHelp(
        about="send a prompt to the model; the answer streams into a thread",
        more=(
            "NAME can be left out if only one deployment runs; `NAME:` is always read as a name. A mention, a direct "
            "message and a message in a thread that I answered are prompts too; the thread is the conversation. A "
            "question waits while its model starts."
        ),
        examples=(
            "ask Name three condiments.",
            "ask fast Name three condiments.",
        ),
    ),
    "endpoint": CommandHelp(
        about="address, key and a `curl` command, shown only to you",
        more=("The API is compatible with OpenAI's. Only its co-owners can see the key."),
        examples=("endpoint fast",),
    ),
    "key": CommandHelp(
        about="list, make and revoke keys to an endpoint, one for each person",
        more=(
            "`list` shows ids and owners, never a key. `new` makes a key for you, and shows it once, only to you. With "
            "PERSON, they get a direct message with a button that makes their key and shows it once. `revoke` ends one "
            "key by its id; the others stay valid. Anyone can list keys and revoke their own; its "
            "co-owners can make keys and revoke any."
        ),
        examples=("key fast list", "key fast new", "key fast new @ada", "key fast revoke k-3f9a01"),
    ),
    "logs": CommandHelp(
        about="the last lines that the replicas printed",
        more=("Useful while an engine starts, or if it does not start."),
        examples=("logs fast",),
    ),
    "plan": CommandHelp(
        about="the offers for a recipe, cheapest first; starts nothing",
        more=("Offers that cannot be taken are listed with the reason and how to fix it."),
        examples=("plan mixtral-8x7b --spot",),
    ),
    "cost": CommandHelp(
        about="what the machines have cost, by deployment and day",
        more=(
            "It covers the deployments that you can see, including ended ones: all of them, or those of one name, one "
            "launcher or one channel. Without a period, it shows this month."
        ),
        examples=("cost", "cost fast week", "cost @ada month"),
    ),
    "recipes": CommandHelp(
        about="what can be launched",
        more=("Recipes are SkyPilot service YAML files; `MIXTRAL_RECIPES` names a folder of your own."),
        examples=("recipes",),
    ),
    "config": CommandHelp(
        about=(
            "this channel's default deployment, system prompt and temperature, answers without a mention in threads, "
            "and weekly costs"
        ),
        more=(
            "People who launched a deployment in the channel and the admins get a form; others see what is set. A "
            "change is announced in the channel. In a direct message with me, you change your own settings."
        ),
        examples=("config",),
    ),
    "share": CommandHelp(
        about="name a co-owner of a deployment, or list its co-owners",
        more=(
            "Co-owners may do what the launcher may: scale, end, see and make keys, and name co-owners. The launcher, "
            "the admins and everyone whom a co-owner named are co-owners. `unshare` ends it. Where none of them has an "
            "active account any more, admins of the workspace may do the same."
        ),
        examples=("share fast @ada", "share fast"),
    ),
    "unshare": CommandHelp(
        about="remove a co-owner of a deployment",
        more="Keys that they have stay valid until they are revoked. People may remove themselves.",
        examples=("unshare fast @ada",),
    ),
    "down": CommandHelp(
        about="end a deployment and all its machines",
        more=(
            "A window asks for confirmation. Its keys stop working immediately. Only its "
            "co-owners can end a deployment."
        ),
        examples=("down fast",),
    ),
    "help": CommandHelp(
        about="this list, or one command in detail",
        examples=("help launch",),
    ),
}


def help(command: str | None, forbidden: Collection[str] = ()) -> Message:  # noqa: A001 - the command's own name
    """All commands, or one with its usage and examples; all for an unknown command.

    `forbidden`: those that the policy does not let the person carry out here; they are left out of the list.
    """
    known = SAME_AS.get(command, command) if command else None
    if known is None or known not in USAGES:
        return _all(forbidden)
    entry = ENTRIES[known]
    lines = [f"*{known}*: {entry.about}.", f"```\n{usage(known)}\n```", entry.more]
    if known in forbidden:
        lines.append("The policy of this installation does not let you do this here.")
    shown = "\n".join(f"`{SLASH} {example}`" for example in entry.examples)
    return Message(
        f"{usage(known)}: {entry.about}.",
        (section("\n".join(lines).strip()), section(f"For example:\n{shown}")),
    )


def _all(forbidden: Collection[str]) -> Message:
    allowed = [command for command in ENTRIES if command not in forbidden]
    lines = [f"`{SLASH} {_short(command)}` {ENTRIES[command].about}" for command in allowed]
    return Message(
        f"The commands are {', '.join(allowed)}.",
        (
            section("\n".join(lines)),
            context(
                f"`{SLASH} help COMMAND` shows options and examples. To ask a model, mention me or write to me. "
                "A message to me that is a whole command, such as `help` or `status`, is carried out if it changes "
                "nothing; for one that changes something, I show you a button."
            ),
            *([] if "launch" in forbidden else [actions([form_button(f"{SLASH} launch")])]),
        ),
    )


def _short(command: str) -> str:
    """The usage without its options, which the command's own help shows."""
    return USAGES[command].split(" [--")[0]
