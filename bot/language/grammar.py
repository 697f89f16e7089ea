"""PURE: the parser of the text after the slash command, into a command or a usage error."""

import shlex
from collections.abc import Collection, Sequence
from difflib import get_close_matches

from msgspec import Struct

from bot.language.command import (
    MAX_PROMPT,
    MEANT,
    QUESTION_WORDS,
    SAME_AS,
    SLASH,
    USAGES,
    Ask,
    Command,
    Config,
    Down,
    Endpoint,
    Form,
    Help,
    Launch,
    Logs,
    Plan,
    Recipes,
    Scale,
    Status,
    UsageError,
    usage,
)
from bot.language.cost_words import cost
from bot.language.end_times import hours, lasts, until
from bot.language.key_words import key
from bot.language.options import SWITCHES, read
from bot.language.share_words import share, unshare
from bot.language.suggestions import joined
from bot.language.typed_text import plain, straight, unquoted
from bot.language.values import InvalidValue, Options, environment, limits, name, quoted, replicas, shown
from recipes.hidden import hidden

LAUNCH_FLAGS = (
    *("--replicas", "--spot", "--gpus", "--clouds", "--env", "--max-price"),
    *("--for", "--until", "--stop-after-idle", "--hours"),
)
IDLE = "--stop-after-idle"
SIMILAR = 0.75
"""Minimum similarity, as difflib computes it, of a misspelt command to the command that is suggested."""

SUGGESTED = 300
"""Maximum length in characters of a question that is repeated in a suggestion."""

PLAN_FLAGS = ("--spot", "--gpus", "--clouds", "--max-price")


class Prompt(Struct, frozen=True, kw_only=True):
    """A prompt, and the deployment that it names, if it names one."""

    deployment: str | None
    text: str


def parse(text: str) -> Command | UsageError:
    """The command in `text`, as Slack sends it, without the slash command itself. An empty text is the form."""
    word, _ = _first_word(plain(text))
    word = SAME_AS.get(word.lower(), word.lower())
    if not word:
        return Form()
    return _command(word, text) if word in USAGES else _unknown(word, text)


def _command(word: str, text: str) -> Command | UsageError:
    """The command `word` with what follows the first word of `text`."""
    if word != "ask" and (mark := hidden(text)):
        sentence = f"The command contains the hidden character {mark}. Type the command instead of pasting it."
        return UsageError(sentence=sentence, usage=usage(word))
    try:
        return _parse(word, _first_word(plain(text, mentions=word in ("cost", "key", "share", "unshare")))[1])
    except InvalidValue as wrong:
        return UsageError(sentence=wrong.sentence, usage=usage(word), nearest=wrong.nearest)


def prompt_of(text: str, running: Collection[str]) -> Prompt:
    """Split off a prompt's address: `fast: Hello` and `fast Hello` are for `fast` if that is a running deployment.

    A word with which questions begin is an address only with a colon: `what is salt` is not for `what`.
    """
    first, rest = _first_word(text.strip())
    if first.rstrip(":") in running and first not in QUESTION_WORDS:
        return Prompt(deployment=first.rstrip(":"), text=unquoted(rest))
    return Prompt(deployment=None, text=unquoted(text))


def addressed(text: str, running: Collection[str]) -> Prompt:
    """The same for a message, which may begin with any word: only `fast: Hello` is for `fast`."""
    first, _ = _first_word(text.strip())
    if first.endswith(":"):
        return prompt_of(text, running)
    return Prompt(deployment=None, text=text.strip())


def too_long(prompt: str) -> str | None:
    """The sentence for a prompt of more than MAX_PROMPT characters; None if it fits."""
    if len(prompt) <= MAX_PROMPT:
        return None
    return f"That prompt has {len(prompt):,} characters; at most {MAX_PROMPT:,} fit. Shorten it, or ask in parts."


def _first_word(text: str) -> tuple[str, str]:
    parts = [*text.split(maxsplit=1), "", ""]
    return parts[0], parts[1]


def _unknown(word: str, text: str) -> UsageError:
    """The error for a first word that is no command: it may be one of another tool, misspelt, or begin a question."""
    close = get_close_matches(word, [*USAGES, *SAME_AS], n=1, cutoff=SIMILAR)
    meant = MEANT.get(word) or (SAME_AS.get(close[0], close[0]) if close else None)
    typed = plain(text)
    rest = _first_word(typed)[1]
    nearest = None
    if meant and not isinstance(_command(meant, text), UsageError):
        nearest = f"{SLASH} {meant} {shown(rest, 60)}".strip()
    elif rest and not close and len(typed) <= MAX_PROMPT:
        meant, nearest = "ask", f"{SLASH} ask {shown(typed, SUGGESTED)}"
    return UsageError(
        sentence=_no_command(word, listed=nearest is None),
        usage=usage(meant or "help"),
        nearest=nearest,
    )


def _no_command(word: str, *, listed: bool) -> str:
    sentence = f"There is no command {quoted(word)}."
    return f"{sentence} The commands are {', '.join(USAGES)}." if listed else sentence


def _parse(word: str, rest: str) -> Command:
    if word == "ask":
        return _ask(rest)
    words = _words(rest)
    if any(w in ("--help", "-h") for w in words):
        return Help(command=word)
    match word:
        case "launch":
            return _launch(read(words, LAUNCH_FLAGS))
        case "plan":
            return _plan(read(words, PLAN_FLAGS))
        case "scale":
            return _scale(read(words, ()).words)
        case "key":
            return key(read(words, ()).words)
        case "cost":
            return cost(read(words, ()).words)
        case "share":
            return share(read(words, ()).words)
        case "unshare":
            return unshare(read(words, ()).words)
        case "recipes":
            _at_most(0, read(words, ()).words)
            return Recipes()
        case "config":
            _at_most(0, read(words, ()).words)
            return Config()
        case "help":
            return _help(read(words, ()).words)
        case _:
            return _about_one(word, read(words, ()).words)


def _words(rest: str) -> list[str]:
    try:
        return shlex.split(straight(rest))
    except ValueError as error:
        raise InvalidValue("A quotation mark is not closed. Close it, or leave it out.") from error


def _ask(rest: str) -> Ask:
    if not rest:
        raise InvalidValue(f"There is no prompt. Write it after the command: `{SLASH} ask Name three condiments.`")
    if sentence := too_long(rest):
        raise InvalidValue(sentence)
    return Ask(text=rest)


def _launch(given: Options) -> Launch:
    env = environment(given.all("--env"))  # first, so that no suggestion repeats a secret
    before, after = _split_as(given.words)
    _at_most(1, before)
    if after is not None:
        if not after:
            raise InvalidValue("`as` needs a name after it.", nearest=_again((*before, "as", "fast"), given))
        if len(after) > 1:
            one = "-".join(after)
            raise InvalidValue(
                f"A name is one word; {quoted(' '.join(after))} is {len(after)} words. Join them with hyphens.",
                nearest=_again((*before, "as", one.lower()), given),
            )
        if after[0] in QUESTION_WORDS:
            raise InvalidValue(
                f"Questions begin with {quoted(after[0])}, so no deployment can be called that.",
                nearest=_again((*before, "as", f"{after[0]}-1"), given),
            )
    if given.has("--for") and given.has("--until"):
        raise InvalidValue("--for and --until both say when it ends. Leave one of them out.")
    return Launch(
        recipe=before[0] if before else None,
        name=name(after[0]) if after else None,
        replicas=replicas(text, "--replicas") if (text := given.one("--replicas")) is not None else None,
        env=env,
        limits=limits(given),
        lasts=lasts(text) if (text := given.one("--for")) is not None else None,
        until=until(text) if (text := given.one("--until")) is not None else None,
        stop_after_idle=lasts(text, IDLE) if (text := given.one(IDLE)) is not None else None,
        hours=hours(text) if (text := given.one("--hours")) is not None else None,
    )


def _again(words: Sequence[str], given: Options) -> str:
    """The launch command with other words, and with the flags that were given."""
    flags = [word for flag, value in given.flags for word in ((flag,) if flag in SWITCHES else (flag, value))]
    return joined(("launch", *words, *flags))


def _split_as(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str] | None]:
    lowered = [word.lower() for word in words]
    if "as" not in lowered:
        return words, None
    at = lowered.index("as")
    return words[:at], words[at + 1 :]


def _plan(given: Options) -> Plan:
    _at_most(1, given.words)
    return Plan(recipe=given.words[0] if given.words else None, limits=limits(given))


def _scale(words: Sequence[str]) -> Scale:
    _at_most(2, words)
    if not words:
        raise InvalidValue("Give the deployment's name and the number of replicas.", nearest=f"{SLASH} scale NAME 2")
    if len(words) == 1:
        if not _is_number(words[0]):
            raise InvalidValue("Give the number of replicas.", nearest=f"{SLASH} scale {shown(words[0])} 2")
        return Scale(replicas=replicas(words[0], "The number of replicas", least=0))
    if _is_number(words[0]) and not _is_number(words[1]):
        raise InvalidValue("The name comes first, then the number.", nearest=f"{SLASH} scale {words[1]} {words[0]}")
    return Scale(name=name(words[0]), replicas=replicas(words[1], "The number of replicas", least=0))


def _is_number(word: str) -> bool:
    return word.lstrip("+-").isdigit()


def _help(words: Sequence[str]) -> Help:
    _at_most(1, words)
    if not words:
        return Help()
    topic = words[0].lower().removeprefix(SLASH).strip()
    topic = SAME_AS.get(topic, topic)
    if topic in USAGES:
        return Help(command=topic)
    close = MEANT.get(topic) or next(iter(get_close_matches(topic, USAGES, n=1)), None)
    raise InvalidValue(
        _no_command(topic, listed=close is None),
        nearest=f"{SLASH} help {close}" if close else None,
    )


def _about_one(word: str, words: Sequence[str]) -> Status | Endpoint | Logs | Down:
    _at_most(1, words)
    one = name(words[0]) if words else None
    match word:
        case "status":
            return Status(name=one)
        case "endpoint":
            return Endpoint(name=one)
        case "logs":
            return Logs(name=one)
        case _:
            return Down(name=one)


def _at_most(count: int, words: Sequence[str]) -> None:
    if len(words) > count:
        raise InvalidValue(f"{quoted(words[count])} is one word too many.")
