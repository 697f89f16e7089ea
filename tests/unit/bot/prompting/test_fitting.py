"""A conversation of any length and script is cut to what the model can take in."""

from hypothesis import given
from hypothesis import strategies as st

from bot.prompting.attached import Text
from bot.prompting.conversation import Turn
from bot.prompting.fitting import LEAST_TOKENS, MOST_COUNTS, THOUGHT_TOKENS, asking, budget, fitted, joined

CONTEXT = 4096
QUESTION = "番茄酱是什么颜色的呢"


def dialogue(*texts):
    return [Turn(role="assistant" if n % 2 else "user", content=text) for n, text in enumerate(texts)]


def asks(text, **attached):
    return Turn(role="user", content=text, **attached)


def a_token_a_character(turns):
    return sum(len(turn.content) + 5 for turn in turns)


def no_tokenizer(_):
    return None


CHINESE = dialogue(*(character * 500 for character in "番茄酱芥末蛋黄酱辣根" * 40))

TURNS = st.lists(
    st.builds(Turn, role=st.sampled_from(["user", "assistant"]), content=st.text(min_size=1, max_size=60)), max_size=30
)


@given(TURNS, st.text(min_size=1, max_size=40), st.integers(min_value=1, max_value=200))
def test_the_roles_take_turns_the_first_and_the_last_are_a_persons_and_the_question_is_whole(past, prompt, size):
    kept = joined(asking(past, asks(prompt), size))
    assert [t.role for t in kept] == ["assistant" if n % 2 else "user" for n in range(len(kept))]
    assert len(kept) % 2 == 1
    assert kept[-1].content.endswith(prompt)


def test_who_speaks_twice_has_one_turn():
    there = Turn(role="user", content="there")
    assert joined([*dialogue("Hi"), there]) == [Turn(role="user", content="Hi\n\nthere")]


def test_the_oldest_messages_go_first():
    past = dialogue("a" * 50, "b" * 50)
    assert [t.content[0] for t in asking(past, asks("c" * 50), 1000)] == ["a", "b", "c"]
    assert [t.content[0] for t in asking(past, asks("c" * 50), 60)] == ["c"]


@given(TURNS, st.sampled_from([a_token_a_character, no_tokenizer]), st.integers(min_value=1024, max_value=200_000))
def test_prompt_thoughts_and_answer_fit_into_the_context(past, count, context):
    it = fitted(past, asks(QUESTION), context, count)
    assert a_token_a_character(it.turns) + it.thoughts + it.answer <= context
    assert it.answer == budget(context).answer


def test_two_hundred_questions_in_chinese_are_cut_to_what_the_tokenizer_counts():
    counted = []

    def count(turns):
        counted.append(a_token_a_character(turns))
        return counted[-1]

    it = fitted(CHINESE, asks(QUESTION), CONTEXT, count)
    assert budget(CONTEXT).prompt * 2 // 3 < counted[-1] <= budget(CONTEXT).prompt
    assert len(counted) <= 3
    assert it.turns[-1].content == QUESTION


def test_a_tokenizer_that_never_agrees_is_asked_a_few_times_and_then_the_estimate_is_taken():
    log = Text(label="File `a.log`", name="`a.log`", text="x" * 400_000, length=400_000)
    question, asked = asks(QUESTION, texts=(log,)), []

    def one_too_many(turns):
        asked.append(turns)
        return budget(CONTEXT).prompt + 1 - 64  # which are added to each count

    it = fitted([], question, CONTEXT, one_too_many)
    assert len(asked) == MOST_COUNTS
    assert it.turns[-1].content.endswith(QUESTION)
    assert it.answer == budget(CONTEXT).answer


def test_without_a_tokenizer_a_character_outside_ascii_is_a_token():
    it = fitted(CHINESE, asks(QUESTION), CONTEXT, no_tokenizer)
    assert budget(CONTEXT).prompt * 2 // 3 < a_token_a_character(it.turns) <= budget(CONTEXT).prompt


def test_what_surely_fits_is_not_counted_and_the_rest_of_the_context_is_for_thoughts():
    it = fitted(dialogue("Hi", "Hello."), asks("Name a condiment."), 8192, None)
    assert len(it.messages) == 3
    assert it.answer == 1024
    assert 6500 < it.thoughts < 8192 - 1024


def test_of_a_context_that_is_not_known_thoughts_get_a_quarter():
    it = fitted([], asks("Hi"), None, no_tokenizer)
    assert (it.answer, it.thoughts) == (1024, 2048)


def test_thoughts_have_a_limit_of_their_own():
    assert fitted([], asks("Hi"), 1_000_000, no_tokenizer).thoughts == THOUGHT_TOKENS


@given(TURNS)
def test_each_refusal_halves_the_conversation_until_the_question_alone_is_tried(past):
    it, tries = fitted(past, asks(QUESTION), 131_072, no_tokenizer), 0
    while (less := it.less()) is not None:
        before = sum(len(m.content) for m in it.messages[:-1])
        assert len(less.messages) < len(it.messages) or len(it.messages) == 1
        assert sum(len(m.content) for m in less.messages[:-1]) <= max(before, 0)
        it, tries = less, tries + 1
    assert [m.content for m in it.messages] == [QUESTION]
    assert it.answer + it.thoughts == LEAST_TOKENS
    assert tries <= 12


def test_what_people_wrote_before_the_question_can_be_left_out_too():
    past = [Turn(role="user", content="酱" * 3000), Turn(role="user", content="芥末" * 10)]
    it = fitted(past, asks(QUESTION), CONTEXT, no_tokenizer)
    assert it.turns == [Turn(role="user", content=f"{'芥末' * 10}\n\n{QUESTION}")]


def test_an_eighth_of_the_context_is_for_the_answer_and_a_quarter_for_thoughts():
    assert budget(8192).answer == 1024
    assert budget(8192).thoughts == 2048
    assert budget(8192).prompt == 8192 - 1024 - 2048
    assert budget(131_072).answer == 4096
    assert budget(None) == budget(8192)


@given(
    TURNS,
    st.sampled_from([a_token_a_character, no_tokenizer]),
    st.integers(min_value=2048, max_value=50_000),
    st.booleans(),
)
def test_a_system_prompt_counts_and_is_never_left_out(past, count, context, is_folded):
    it = fitted(past, Turn(role="user", content=QUESTION), context, count, system="椒" * 300, is_folded=is_folded)
    assert a_token_a_character(it.turns) + it.thoughts + it.answer <= context
    assert it.turns[0].content.startswith("椒" * 300)
    assert (it.turns[0].role == "system") is not is_folded
    assert [t.role for t in it.turns if t.role != "system"][::2] == ["user"] * ((len(it.turns) + is_folded) // 2)
    shorter = it.less()
    assert shorter is None or shorter.turns[0].content.startswith("椒" * 300)
