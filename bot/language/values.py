"""PURE: the parsers of the values in commands. Each returns the value, or raises InvalidValue."""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches

from msgspec import Struct

from bot.language.command import MAX_NAME, SLASH
from recipes.accelerators import parse
from recipes.hidden import hidden, visible
from recipes.replicas import MAX_REPLICAS
from recipes.schema import RecipeError
from workers.placement.limits import Limits
from workers.settings_table import CLOUDS

MIN_PRICE = Decimal("0.0001")
MAX_PRICE = Decimal(10_000)

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_SECRET = re.compile(r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|KEY|CREDENTIALS?)(?:$|_)", re.IGNORECASE)
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class InvalidValue(Exception):
    """An invalid value. The sentence states the cause and what is valid."""

    def __init__(self, sentence: str, *, nearest: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.nearest = nearest


class Options(Struct, frozen=True, kw_only=True):
    """A command's words, and its flags with their values, in the order in which they were written."""

    words: tuple[str, ...]
    flags: tuple[tuple[str, str], ...] = ()

    def has(self, flag: str) -> bool:
        return any(given == flag for given, _ in self.flags)

    def all(self, flag: str) -> tuple[str, ...]:
        return tuple(value for given, value in self.flags if given == flag)

    def one(self, flag: str) -> str | None:
        """The value of a flag that may be given once; None if it is not given."""
        return next(iter(self.all(flag)), None)


def shown(text: str, limit: int = 40) -> str:
    """A person's text, cut to `limit` characters for a sentence."""
    text = " ".join(visible(text).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def quoted(text: str, limit: int = 40) -> str:
    """The same as code. It is not escaped for mrkdwn."""
    text = shown(text, limit).replace("`", "'")
    return f"`{text}`" if text else "an empty word"


def name(word: str) -> str:
    """A deployment's name. Raises InvalidValue, which suggests a valid name with the same letters if possible."""
    if len(word) <= MAX_NAME and _NAME.fullmatch(word):
        return word
    slug = re.sub(r"[^a-z0-9]+", "-", word.lower())[:MAX_NAME].strip("-")
    mend = f" `{slug}` is valid." if slug and not word.startswith(("<", "@", "#")) else ""
    rule = f"A name is 1 to {MAX_NAME} lower-case letters, digits and hyphens, with no hyphen at either end"
    if len(word) > MAX_NAME:
        raise InvalidValue(f"{rule}; this one has {len(word)} characters.{mend}")
    raise InvalidValue(f"{rule}; {quoted(word)} is not valid.{mend}")


def replicas(word: str, what: str, *, least: int = 1) -> int:
    """A number of replicas, `least` to MAX_REPLICAS. The sentence names `what` only if it is a flag."""
    rule = f"Give {f'`{what}` ' if what.startswith('--') else ''}a whole number from {least} to {MAX_REPLICAS}"
    if word.lower() in _NUMBERS[least:]:
        raise InvalidValue(f"{rule}, in digits: write {_NUMBERS.index(word.lower())}.")
    try:
        count = int(word) if len(word) < MAX_REPLICAS and word.isascii() and "_" not in word else None
    except ValueError:
        count = None
    if least and (count == 0 or word.lower() == "zero"):
        raise InvalidValue(f"{rule}. To run none, end it: `{SLASH} down NAME`.")
    if count is None or not least <= count <= MAX_REPLICAS:
        raise InvalidValue(f"{rule}.")
    return count


def limits(given: Options) -> Limits:
    """The limits in `--spot`, `--gpus`, `--clouds` and `--max-price`."""
    price = given.one("--max-price")
    return Limits(
        spot=_switch(given, "--spot"),
        gpus=_gpus(given.one("--gpus")),
        clouds=_clouds(given.one("--clouds")),
        max_price=None if price is None else _price(price),
    )


def environment(pairs: Iterable[str]) -> dict[str, str]:
    """Pairs of `K=V`. A name that looks like a secret's is refused: the values are stored with the request."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not _VARIABLE.fullmatch(key):
            # The text may be a secret without its name, so it is not repeated.
            raise InvalidValue(
                "--env takes NAME=VALUE; the name is letters, digits and underscores, as in --env LANG=C."
            )
        if is_secret(key):
            raise InvalidValue(
                f"{key} looks like a secret, and secrets never pass through Slack. "
                f"Set it in the worker's environment, and name it under `secrets:` in the recipe."
            )
        if mark := hidden(value):
            raise InvalidValue(f"--env {key} contains the hidden character {mark}. Leave it out.")
        if key in found:
            raise InvalidValue(f"--env {key} is given twice. Leave one of them out.")
        found[key] = value
    return found


def is_secret(variable: str) -> bool:
    """Whether the name of a variable looks like a secret's."""
    return bool(_SECRET.search(variable))


def _switch(given: Options, flag: str) -> bool:
    value = given.one(flag)
    if value:
        raise InvalidValue(f"{flag} takes no value: write it alone, or leave it out.")
    return given.has(flag)


def _listed(text: str, flag: str, example: str) -> Sequence[str]:
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise InvalidValue(f"{flag} takes a list with commas and without spaces, as in {flag} {example}.")
    return tuple(dict.fromkeys(words))


def _gpus(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    words = _listed(text, "--gpus", "A100-80GB:2,A100:8")
    try:
        return tuple(str(parse(word)) for word in words)
    except RecipeError as error:
        raise InvalidValue(f"--gpus: {error.sentence}. Write it as in --gpus A100-80GB:2,A100:8.") from error


def _clouds(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    words = _listed(text.lower(), "--clouds", "aws,gcp")
    for word in words:
        if word not in CLOUDS:
            close = next(iter(get_close_matches(word, CLOUDS, n=1)), None)
            hint = f" Did you mean `{close}`?" if close else ""
            raise InvalidValue(f"{quoted(word)} is not a supported cloud. The clouds are {', '.join(CLOUDS)}.{hint}")
    return tuple(words)


def _price(text: str) -> Decimal:
    rule = f"--max-price is USD per hour and replica, more than 0 and at most {MAX_PRICE:,}, as in --max-price 12.50"
    try:
        price = Decimal(text.removeprefix("$").removesuffix("$"))
    except InvalidOperation as error:
        raise InvalidValue(f"{rule}; {quoted(text)} is not a number.") from error
    if not (price.is_finite() and MIN_PRICE <= price <= MAX_PRICE):
        raise InvalidValue(f"{rule}; {quoted(text)} is out of range.")
    return price
