"""PURE: converts a recipe's engine arguments to command-line flags."""

from collections.abc import Collection, Mapping

from workers.serving.errors import ServingError

Flags = Mapping[str, str | int | float | bool | None]

OURS = ("model", "served-model-name", "host", "port", "api-key")


def written(args: Flags, *, reserved: Collection[str] = OURS) -> list[str]:
    """`{"max-model-len": 4096, "enforce-eager": None}` as `--max-model-len 4096 --enforce-eager`.

    None and True give the flag alone, False gives `--no-FLAG`. Raises ServingError for a flag in `reserved`.
    """
    words: list[str] = []
    for name, value in args.items():
        flag = plain(name)
        if flag in reserved:
            raise ServingError(
                f"`engine.args.{name}` cannot be set in a recipe: the bot sets the engine's {flag}. Remove the line."
            )
        match value:
            case None | True:
                words.append(f"--{flag}")
            case False:
                words.append(f"--no-{flag}")
            case _ if str(value).startswith("-"):
                words.append(f"--{flag}={value}")  # as a word of its own it would be parsed as a flag
            case _:
                words += [f"--{flag}", str(value)]
    return words


def plain(name: str) -> str:
    """The name without leading dashes and with dashes for underscores: `--max_model_len` becomes `max-model-len`."""
    return name.lstrip("-").replace("_", "-")
