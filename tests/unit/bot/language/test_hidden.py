"""Characters that are not displayed are refused wherever a value is read, and named; a question keeps its own."""

import pytest

from bot.commands.errors import WrongInput
from bot.commands.form_inputs import read
from bot.language.command import Ask, UsageError
from bot.language.grammar import parse
from bot.screens.config_form import given
from recipes.hidden import hidden, hidden_in_prose, visible_prose
from recipes.loader import load
from recipes.schema import RecipeError

HIDDEN = {"\x00": "U+0000", "\x1b": "U+001B", "\x85": "U+0085", "\u202e": "U+202E", "\u2066": "U+2066"} | {
    "\u200b": "U+200B",
    "\ufeff": "U+FEFF",
    "\u2028": "U+2028",
    "\ud800": "U+D800",
    "\U000e0041": "U+E0041",
}
COMMANDS = [
    *(
        "launch scripted as fa{}st",
        "launch scripted --env A=x{}y",
        "launch scripted --gpus A100{}:8",
        "launch m{}istral",
    ),
    *(
        "launch scripted --until 18{}:00",
        "launch scripted --hours 'mon{} 09:00-10:00 UTC'",
        "plan scripted{}",
        "help s{}cale",
    ),
    *(
        "scale fast{} 2",
        "scale fast 2{}",
        "down fast{}",
        "status fa{}st",
        "logs fast{}",
        "endpoint fast{}",
        "cost we{}ek",
    ),
    *(
        "key fast{} new",
        "key fast revoke k{}1",
        "share fast{} <@U1>",
        "unshare fast{} <@U1>",
        "recipes {}",
        "config x{}",
    ),
]


@pytest.mark.parametrize("mark", HIDDEN)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_with_a_hidden_character_is_refused_and_named(command, mark):
    found = parse(command.format(mark))
    assert isinstance(found, UsageError)
    assert HIDDEN[mark] in found.sentence
    assert mark not in found.sentence
    assert mark not in (found.nearest or "")


def test_an_unknown_word_is_repeated_without_its_hidden_characters():
    found = parse("fast\u202e please \x1b[31mgo")
    assert isinstance(found, UsageError)
    assert not hidden(found.sentence + (found.nearest or ""))


def test_a_question_keeps_what_a_person_pasted_except_nul():
    assert parse("ask What is \x1b[31m?\x00") == Ask(text="What is \x1b[31m?")


def test_emoji_of_several_characters_are_no_hidden_ones():
    assert hidden("👩‍🍳 🏳️‍🌈 e\u0301 \t\n العربية") == ""


@pytest.mark.parametrize("mark", HIDDEN)
@pytest.mark.parametrize("block", ["name", "max_price", "replicas", "env:scripted:X"])
def test_an_input_of_the_launch_form_names_its_hidden_character(block, mark):
    values = {"recipe": {"r": {"selected_option": {"value": "scripted"}}}, block: {"x": {"value": f"1{mark}2"}}}
    with pytest.raises(WrongInput, match=HIDDEN[mark].replace("+", r"\+")) as refused:
        read(values)
    assert refused.value.block == block


def test_the_system_prompt_of_a_channel_names_its_hidden_character():
    with pytest.raises(WrongInput, match=r"U\+202E"):
        given({"state": {"values": {"system": {"system": {"value": "Be \u202ekind."}}}}})


@pytest.mark.parametrize(
    "prompt",
    [
        *(
            "پاسخ را به فارسی بنویس: می\u200cخواهم",  # noqa: RUF001
            "क्\u200dष और क्\u200cष",
            "عربي\u200f (AI)\u200e؟\u061c",
            "שלום\u200f!",
        ),
        *(
            "\u2067עברית\u2069 \u202bעברית\u202c",  # noqa: RUF001
            "ภาษา\u200bไทย",
            "👩\u200d🍳 🏳️\u200d🌈",
            "co\u00adoperate\u2028Be kind.\ufeff",
        ),
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    ],
)
def test_a_sentence_keeps_what_its_language_is_written_with(prompt):
    assert given({"state": {"values": {"system": {"system": {"value": prompt}}}}}).system_prompt == prompt.strip()
    assert visible_prose(prompt) == prompt


@pytest.mark.parametrize("mark", ["\x1b", "\u202e", "\u202d", "\U000e0041", "\ufff9", "\ud800"])
def test_a_sentence_contains_no_character_that_misleads(mark):
    assert hidden_in_prose(f"Be{mark} kind") == f"U+{ord(mark):04X}"
    assert visible_prose(f"Be{mark} kind") == "Be kind"


@pytest.mark.parametrize("written", [r'"\0"', r'"\e[31m"', r'"\u202e"', r'"\u200b"', r'"\N"'])
@pytest.mark.parametrize(
    "recipe",
    [
        "name: {}\nrun: x\n",
        "run: {}\n",
        "run: x\nsetup: {}\n",
        "run: x\nenvs: {{A: {}}}\n",
        "run: x\nenvs: {{{}: a}}\n",
        "run: x\nsecrets: [{}]\n",
        "run: x\nresources: {{image_id: {}}}\n",
        "engine: {{kind: vllm, model: {}}}\n",
        "run: x\nservice: {{readiness_probe: {{path: {}}}}}\n",
    ],
)
def test_a_recipe_with_a_hidden_character_is_refused_with_its_line(recipe, written):
    with pytest.raises(RecipeError, match=r"hidden character U\+") as refused:
        load(recipe.format(written), {}, name="tried")
    assert refused.value.line
    assert not hidden(str(refused.value))
