"""The words of the slash command."""

from datetime import time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.language.command import (
    USAGES,
    Ask,
    Cost,
    Down,
    Endpoint,
    Form,
    Help,
    Launch,
    ListKeys,
    Logs,
    NewKey,
    Period,
    Plan,
    Recipes,
    RevokeKey,
    Scale,
    Status,
    UsageError,
)
from bot.language.grammar import Prompt, addressed, parse, prompt_of, too_long
from workers.deployment.events import FIRST_KEY, KeyId
from workers.placement.limits import Limits


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("", Form()),
        ("   ", Form()),
        ("help", Help()),
        ("help scale", Help(command="scale")),
        ("help deploy", Help(command="launch")),
        ("scale --help", Help(command="scale")),
        ("launch", Launch()),
        ("deploy", Launch()),
        ("LAUNCH", Launch()),
        ("launch smollm2-135m", Launch(recipe="smollm2-135m")),
        ("launch as fast", Launch(name="fast")),
        ("launch --replicas 2 smollm2-135m as fast", Launch(recipe="smollm2-135m", name="fast", replicas=2)),
        ("launch --replicas=2", Launch(replicas=2)),
        ("launch --for 8h", Launch(lasts=timedelta(hours=8))),
        (
            'launch --hours "Mon-Fri 09:00-19:00 Europe/Paris"',
            Launch(hours="mon-fri 09:00-19:00 Europe/Paris"),
        ),
        ("launch --stop-after-idle 2h", Launch(stop_after_idle=timedelta(hours=2))),
        ("launch fast --until 18:00 --spot", Launch(recipe="fast", until=time(18), limits=Limits(spot=True))),
        ("status", Status()),
        ("status fast", Status(name="fast")),
        ("status  fast  ", Status(name="fast")),
        ("scale fast 2", Scale(name="fast", replicas=2)),
        ("scale 2", Scale(replicas=2)),
        ("scale fast 0", Scale(name="fast", replicas=0)),
        ("key", ListKeys()),
        ("key list", ListKeys()),
        ("key LIST", ListKeys()),
        ("key fast", ListKeys(name="fast")),
        ("key fast list", ListKeys(name="fast")),
        ("key new list", ListKeys(name="new")),
        ("key fast new", NewKey(name="fast")),
        ("key fast NEW <@U0ADA000001|ada>", NewKey(name="fast", user="U0ADA000001")),
        ("key fast new <@W012AB>", NewKey(name="fast", user="W012AB")),
        ("key fast revoke k-3f9a01", RevokeKey(name="fast", key=KeyId("k-3f9a01"))),
        ("key fast revoke first", RevokeKey(name="fast", key=FIRST_KEY)),
        ("key --help", Help(command="key")),
        ("endpoint", Endpoint()),
        ("endpoint fast", Endpoint(name="fast")),
        ("logs fast", Logs(name="fast")),
        ("plan", Plan()),
        ("plan mixtral-8x7b --spot", Plan(recipe="mixtral-8x7b", limits=Limits(spot=True))),
        ("recipes", Recipes()),
        ("down", Down()),
        ("down fast", Down(name="fast")),
        ("ask Name three condiments.", Ask(text="Name three condiments.")),
        ("ask first line\nsecond line", Ask(text="first line\nsecond line")),
        ("ask it's --not a flag", Ask(text="it's --not a flag")),
    ],
)
def test_a_command_is_what_it_says(text, command):
    assert parse(text) == command


def test_every_option_of_a_launch_is_taken():
    text = (
        "launch mixtral-8x7b as fast --replicas 3 --spot --gpus a100-80gb:2,A100:8 --clouds AWS,gcp "
        "--env LANG=C --env 'GREETING=Hello World' --max-price $12.50"
    )
    assert parse(text) == Launch(
        recipe="mixtral-8x7b",
        name="fast",
        replicas=3,
        env={"LANG": "C", "GREETING": "Hello World"},
        limits=Limits(spot=True, gpus=("A100-80GB:2", "A100:8"), clouds=("aws", "gcp"), max_price=Decimal("12.50")),
    )


def test_what_slack_makes_of_quotes_dashes_and_entities_is_undone():
    text = "launch x \N{EM DASH}env A=\N{LEFT DOUBLE QUOTATION MARK}b &amp; c\N{RIGHT DOUBLE QUOTATION MARK}"
    assert parse(text) == Launch(recipe="x", env={"A": "b & c"})


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("lanch smollm2-135m", "/mixtral launch smollm2-135m"),
        ("depoly", "/mixtral launch"),
        ("stats", "/mixtral status"),
        ("kill fast", "/mixtral down fast"),
        ("keys fast", "/mixtral key fast"),
        ("key new fast", "/mixtral key fast new"),
        ("key revoke fast k-1", "/mixtral key fast revoke k-1"),
        ("key new", "/mixtral key NAME new"),
        ("key fast create", "/mixtral key fast new"),
        ("key fast <@U1|ada>", "/mixtral key fast new @PERSON"),
        ("key fast rm k-1", "/mixtral key fast revoke k-1"),
        ("key fast revoke", "/mixtral key fast list"),
        ("key fast revoke <@U1|ada>", "/mixtral key fast list"),
        ("ls", "/mixtral status"),
        ("What is ketchup?", "/mixtral ask What is ketchup?"),
        ("List three condiments", "/mixtral ask List three condiments"),
        ("Explain photosynthesis", "/mixtral ask Explain photosynthesis"),
        ("Show me &lt;b&gt;", "/mixtral ask Show me <b>"),
        ("list fast", "/mixtral status fast"),
        ("launch x as what --spot", "/mixtral launch x as what-1 --spot"),
        ("models", "/mixtral recipes"),
        ("help lanch", "/mixtral help launch"),
        ("scale 2 fast", "/mixtral scale fast 2"),
        ("scale fast", "/mixtral scale fast 2"),
        ("launch x as my model", "/mixtral launch x as my-model"),
        ("launch --replicas 2 as what", "/mixtral launch as what-1 --replicas 2"),
        ("launch x as", "/mixtral launch x as fast"),
        ("launch x as my model --spot=yes", "/mixtral launch x as my-model --spot"),
        ("launch x as my model --spot --env A='b c'", "/mixtral launch x as my-model --spot --env 'A=b c'"),
    ],
)
def test_what_may_have_been_meant_is_said(text, nearest):
    found = parse(text)
    assert isinstance(found, UsageError)
    assert found.nearest == nearest


def test_an_unknown_command_names_all_that_there_are():
    found = parse("xyzzy")
    assert isinstance(found, UsageError)
    assert found.nearest is None
    assert "no command `xyzzy`" in found.sentence
    assert all(word in found.sentence for word in USAGES)
    assert parse("lanch").sentence == "There is no command `lanch`."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scale fast zero", "write 0"),
        ("scale fast -1", "a whole number from 0 to 50."),
        ("scale fast two", "write 2"),
        ("scale fast 1000", "a whole number from 0 to 50."),
        ("scale fast 1.5", "a whole number from 0 to 50."),
        ("scale fast 1_0", "a whole number from 0 to 50."),
        ("scale fast \N{SUPERSCRIPT TWO}", "a whole number from 0 to 50."),
        ("scale fast " + "9" * 5000, "a whole number from 0 to 50."),
        ("scale", "the deployment's name"),
        ("launch --replicas 0", "/mixtral down"),
        ("launch --replicas 1000", "Give `--replicas` a whole number from 1 to 50."),
        ("launch --replicas", "needs a value"),
        ("launch --replicas --spot", "needs a value"),
        ("launch --gpu A100:8", "Did you mean `--gpus`?"),
        ("launch --spot --spot", "is given twice"),
        ("launch --spot=yes", "takes no value"),
        ("launch --gpus A100:0", "between 1 and 128"),
        ("launch --gpus A100,,L4", "list with commas"),
        ("launch --gpus A1000:8", "unknown accelerator"),
        ("launch --clouds aws,azure", "`azure` is not a supported cloud"),
        ("launch --clouds gpc", "Did you mean `gcp`?"),
        ("launch --max-price 0", "out of range"),
        ("launch --max-price -3", "out of range"),
        ("launch --max-price NaN", "out of range"),
        ("launch --max-price 1e9", "out of range"),
        ("launch --max-price cheap", "not a number"),
        ("launch --env LANG", "NAME=VALUE"),
        ("launch --env A=1 --env A=2", "is given twice"),
        ("launch 'x", "not closed"),
        ("launch x y", "`y` is one word too many"),
        ("status --verbose", "no option `--verbose`"),
        ("recipes all", "one word too many"),
        ("key fast list all", "`all` is one word too many"),
        ("key fast new <@U1> now", "`now` is one word too many"),
        ("key fast frob", "`list`, `new` or `revoke`; `frob` is none"),
        ("key fast new @ada", "`@ada` does not mention a person"),
        ("key fast new <!here>", "`@here` does not mention a person"),
        ("key fast new <!subteam^S1|@team>", "does not mention a person"),
        ("key Fast new", "`fast` is valid"),
        ("key <@U1|ada>", "is not valid."),
        ("ask", "no prompt"),
    ],
)
def test_what_cannot_be_taken_is_said_with_its_mend(text, said):
    found = parse(text)
    assert isinstance(found, UsageError)
    assert said in found.sentence


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Fast", "`fast` is valid"),
        ("my_model", "`my-model` is valid"),
        ("-fast", "`fast` is valid"),
        ("\N{GRINNING FACE}", "is not valid."),
        ("<!channel>", "is not valid."),
        ("&lt;!channel&gt;", "is not valid."),
        ("x" * 200, "this one has 200 characters"),
    ],
)
@pytest.mark.parametrize("form", ["launch smollm2-135m as {}", "down {}", "scale {} 2", "status {}"])
def test_a_name_that_is_none_is_refused_with_one_that_would_do(form, name, said):
    found = parse(form.format(name))
    assert isinstance(found, UsageError)
    assert said in found.sentence
    assert len(found.sentence) < 300


@pytest.mark.parametrize("text", ["lanch x y z", "What is " + "x" * 30_000])
def test_what_is_suggested_is_taken_as_it_is(text):
    found = parse(text)
    assert isinstance(found, UsageError)
    assert found.nearest is None or not isinstance(parse(found.nearest.removeprefix("/mixtral")), UsageError)


def test_a_name_with_which_questions_begin_is_refused_only_for_a_new_deployment():
    found = parse("launch x as what")
    assert isinstance(found, UsageError)
    assert "Questions begin with `what`, so no deployment can be called that." in found.sentence
    assert parse("down what") == Down(name="what")
    assert parse("launch x as what-1") == Launch(recipe="x", name="what-1")


def test_a_secret_is_refused_and_never_repeated():
    for text in (
        "launch --env HF_TOKEN=hf_abc",
        "launch --env hf_abc",
        "launch --env MY_API_KEY=hf_abc",
        "launch as a b --env HF_TOKEN=hf_abc",
    ):
        found = parse(text)
        assert isinstance(found, UsageError)
        assert "hf_abc" not in f"{found.sentence} {found.nearest}"
    assert isinstance(parse("launch --env MAX_TOKENS=5"), Launch)


def test_a_key_that_somebody_writes_is_never_repeated():
    for form in ("key fast revoke {}", "key {}", "key fast {}", "key fast new {}", "key {} revoke x"):
        found = parse(form.format("mxk_abcdefghijklmnopqrstuvwxyz012345"))
        assert isinstance(found, UsageError)
        assert "That is a key itself" in found.sentence
        assert "abcdefgh" not in f"{found.sentence} {found.nearest}"


def test_elsewhere_a_mention_is_a_name_with_its_sign():
    assert parse("ask Who is <@U1|ada>?") == Ask(text="Who is @ada?")


def test_a_prompt_has_a_limit_that_is_named():
    assert isinstance(parse("ask " + "a" * 24_000), Ask)
    found = parse("ask " + "a" * 100_000)
    assert isinstance(found, UsageError)
    assert "100,000 characters" in found.sentence
    assert "24,000" in found.sentence
    assert too_long("a" * 24_000) is None


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("fast Hello there", Prompt(deployment="fast", text="Hello there")),
        ("fast: Hello there", Prompt(deployment="fast", text="Hello there")),
        ('fast "Hello there"', Prompt(deployment="fast", text="Hello there")),
        ('"Hello there"', Prompt(deployment=None, text="Hello there")),
        ("\N{LEFT DOUBLE QUOTATION MARK}Hi\N{RIGHT DOUBLE QUOTATION MARK}", Prompt(deployment=None, text="Hi")),
        ('"a" or "b"', Prompt(deployment=None, text='"a" or "b"')),
        ("slow Hello", Prompt(deployment=None, text="slow Hello")),
        ("fast", Prompt(deployment="fast", text="")),
    ],
)
def test_the_first_word_of_a_prompt_is_a_name_only_if_it_runs(text, prompt):
    assert prompt_of(text, {"fast"}) == prompt


def test_in_a_message_only_a_colon_makes_a_name():
    assert addressed("fast: Hello", {"fast"}) == Prompt(deployment="fast", text="Hello")
    assert addressed("fast cars are loud", {"fast"}) == Prompt(deployment=None, text="fast cars are loud")


@given(st.text(max_size=300))
def test_no_text_is_too_odd(text):
    found = parse(text)
    if isinstance(found, UsageError):
        assert found.sentence
        assert found.usage.startswith("/mixtral ")


@given(st.sampled_from(sorted(USAGES)), st.text(max_size=200))
def test_no_text_after_a_command_is_too_odd(word, text):
    found = parse(f"{word} {text}")
    if isinstance(found, UsageError):
        assert len(found.sentence) < 600


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("cost", Cost()),
        ("cost week", Cost(period=Period.WEEK)),
        ("cost fast", Cost(name="fast")),
        ("cost TODAY fast", Cost(name="fast", period=Period.TODAY)),
        ("cost <@U0ADA000001|ada> month", Cost(user="U0ADA000001")),
        ("cost <#C0GENERAL01|general> week", Cost(channel="C0GENERAL01", period=Period.WEEK)),
        ("cost <#C0GENERAL01>", Cost(channel="C0GENERAL01")),
    ],
)
def test_a_cost_is_of_one_deployment_person_or_channel_and_of_a_period(text, command):
    assert parse(text) == command


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cost fast slow", "`slow` is one word too many."),
        ("cost week month", "`month` is one word too many."),
        ("cost @ada", "`@ada` is no mention."),
        ("cost #general", "`#general` is no mention."),
        ("cost mont", "The periods are today, week, month."),
    ],
)
def test_a_cost_that_cannot_be_read_is_answered_with_the_mend(text, sentence):
    assert sentence in parse(text).sentence


@pytest.mark.parametrize("character", ["\0", "\x07", "\x1b", "\x7f", "\x85"])
def test_a_control_character_in_a_variable_is_refused(character):
    refused = parse(f"launch --env A=b{character}c")
    assert isinstance(refused, UsageError)
    assert "hidden character U+" in refused.sentence
