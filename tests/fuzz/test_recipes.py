"""The door of recipes: a file of any content is refused with a sentence, or what it says can be shown and booted."""

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from bot.sandbox.block_kit.check import check_message_blocks
from bot.views import recipes as view
from recipes.loader import load, shipped
from recipes.schema import Recipe, RecipeError
from tests.builders.machines import SECRETS, request
from tests.builders.offers import offer
from tests.fuzz.fuzzing import fuzz
from workers.placement.explain_empty import why_empty
from workers.serving.boot import boot_of
from workers.serving.bootstrap import user_data
from workers.serving.errors import ServingError

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(0)]

FILES = [*shipped().glob("*.yaml"), *(Path(__file__).parents[1] / "recipes").glob("*.yaml")]
ENV = {"HF_TOKEN": "hf_x", "HOME": "/root"}


def test_recipes(errors):
    texts = [file.read_text() for file in sorted(FILES)]

    def once(mutator):
        text = mutator.rng.choice(texts)
        match mutator.rng.randrange(3):
            case 0:
                content: Any = mutator.data(text.encode()).decode(errors="surrogateescape")
            case 1:
                content = mutator.text(text)
            case _:
                content = _dumped(mutator.payload(yaml.safe_load(text)))
        mutator.shown.append(content)
        _tried(content)

    fuzz("recipes", once, errors)


def _dumped(value: Any) -> str:
    try:
        return yaml.safe_dump(value, allow_unicode=True)
    except (yaml.YAMLError, UnicodeEncodeError):
        return repr(value)


def check_printable(sentence: str) -> None:
    """A terminal and Slack show the sentence as it is."""
    assert not [c for c in sentence if not c.isprintable() and c != "\n"], repr(sentence)


def _tried(content: str) -> None:
    try:
        recipe = load(content, ENV, name="tried")
    except RecipeError as refused:
        check_printable(str(refused))
        return
    again = msgspec.json.decode(msgspec.json.encode(recipe), type=Recipe)
    assert again == recipe, "what is stored is what was read"
    shown = view.recipes([recipe], [], default="tried")
    check_message_blocks(list(shown.blocks))
    why_empty(recipe, [offer("aws here-1", gpu="A100:8")])
    boot = boot_of(recipe, "tried")
    with contextlib.suppress(ServingError):
        user_data(request("t-1", [offer("aws here-1", gpu="A100:8")], boot=boot), SECRETS)
