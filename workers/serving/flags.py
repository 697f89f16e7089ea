"""PURE: a recipe's flags as an engine's command line wants them."""

from collections.abc import Collection, Mapping

from workers.serving.errors import ServingError

Flags = Mapping[str, str | int | float | bool | None]

OURS = ("model", "served-model-name", "host", "port", "api-key")


def written(args: Flags, *, reserved: Collection[str] = OURS) -> list[str]:
    """`{"max-model-len": 4096, "enforce-eager": None}` as `--max-model-len 4096 --enforce-eager`.

    Null and true are a flag alone, false is `--no-FLAG`. Raises ServingError for a flag that only we may set.
    """
    words: list[str] = []
    for name, value in args.items():
        flag = plain(name)
        if flag in reserved:
            raise ServingError(
                f"`engine.args.{name}` cannot be set in a recipe: the bot gives the engine its {flag}. Remove the line."
            )
        match value:
            case None | True:
                words.append(f"--{flag}")
            case False:
                words.append(f"--no-{flag}")
            case _ if str(value).startswith("-"):
                words.append(f"--{flag}={value}")  # alone it would be read as the next flag
            case _:
                words += [f"--{flag}", str(value)]
    return words


def plain(name: str) -> str:
    """`--max_model_len` as `max-model-len`, which is how engines print it."""
    return name.lstrip("-").replace("_", "-")
