"""PURE: a command as text, for suggestions that keep the options that were given."""

import re
import shlex
from collections.abc import Iterable

from bot.language.command import SLASH, Launch, Plan
from bot.language.end_times import span, written
from workers.placement.limits import Limits
from workers.secrecy import masked

_PLAIN = re.compile(r"[^\s'\"\\]+")


def command_text(command: Launch | Plan) -> str:
    """`/mixtral launch mixtral-8x7b as fast --spot`: parsed again, it is the same command."""
    match command:
        case Launch():
            named = ("as", command.name) if command.name else ()
            replicas = ("--replicas", str(command.replicas)) if command.replicas is not None else ()
            env = [word for name, value in command.env.items() for word in ("--env", f"{name}={value}")]
            words = [
                "launch",
                *_recipe(command.recipe),
                *named,
                *replicas,
                *_limits(command.limits),
                *_end(command),
                *env,
            ]
        case Plan():
            words = ["plan", *_recipe(command.recipe), *_limits(command.limits)]
    return joined(words)


def flags(limits: Limits) -> str:
    """`--spot --max-price 12.50`; empty without limits."""
    return " ".join(_limits(limits))


def joined(words: Iterable[str]) -> str:
    """Words after the slash command, quoted where needed.

    What looks like a secret, or would be changed by Slack, is left out: `HUB=…`.
    """
    return " ".join((SLASH, *(word if _PLAIN.fullmatch(word) else shlex.quote(word) for word in map(_repeated, words))))


def _repeated(word: str) -> str:
    if _fit(word):
        return word
    name, equals, _ = word.partition("=")
    return f"{name}=…" if equals and _fit(name) else "…"


def _fit(word: str) -> bool:
    return masked(word) == word and "`" not in word and (word == "" or " ".join(word.split()) == word)


def _recipe(name: str | None) -> tuple[str, ...]:
    return (name,) if name else ()


def _end(launch: Launch) -> Iterable[str]:
    if launch.lasts is not None:
        yield from ("--for", span(launch.lasts))
    if launch.until is not None:
        yield from ("--until", written(launch.until))
    if launch.stop_after_idle is not None:
        yield from ("--stop-after-idle", span(launch.stop_after_idle))
    if launch.hours is not None:
        yield from ("--hours", launch.hours)


def _limits(limits: Limits) -> Iterable[str]:
    if limits.spot:
        yield "--spot"
    if limits.gpus:
        yield from ("--gpus", ",".join(limits.gpus))
    if limits.clouds:
        yield from ("--clouds", ",".join(limits.clouds))
    if limits.max_price is not None:
        yield from ("--max-price", f"{limits.max_price:f}")
