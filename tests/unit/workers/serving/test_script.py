"""What the scripted engine says."""

import pytest

from workers.serving.script import BadRequest, Script, chunks, models, tokenized, whole, words
from workers.serving.scripted import options, script_of

TALK = {"messages": [{"role": "user", "content": "Hi there"}]}
SCRIPT = Script(names=("m", "n"), text="one two three", length=5)


def said(script, way, body):
    return "".join(words(script, way, body))


def test_its_text_is_said_over_and_over_up_to_its_length():
    assert said(SCRIPT, "chat/completions", TALK) == "one two three one two"
    assert said(SCRIPT, "completions", {"prompt": "Hi"}) == " one two three one two"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_client_may_ask_for_less(field):
    assert said(SCRIPT, "completions", {"prompt": "Hi", field: 2}) == " one two"
    answer = whole(SCRIPT, "completions", {"prompt": "Hi"}, words(SCRIPT, "completions", {"prompt": "Hi", field: 2}))
    assert answer["choices"][0]["finish_reason"] == "length"


def test_told_to_be_silent_it_answers_nothing():
    silent = Script(names=("m",), silent=True)
    assert (
        whole(silent, "completions", {"prompt": "Hi"}, words(silent, "completions", {"prompt": "Hi"}))["choices"][0][
            "text"
        ]
        == ""
    )


def test_its_answers_are_marked_as_scripted():
    assert whole(SCRIPT, "completions", {"model": "n"}, [])["model"] == "scripted:n"
    assert all(chunk["model"] == "scripted:m" for chunk in chunks(SCRIPT, "completions", {}, ["a"]))
    assert {model["owned_by"] for model in models(SCRIPT)["data"]} == {"scripted"}


@pytest.mark.parametrize("include", [True, False])
def test_a_stream_ends_with_a_reason_and_the_usage_only_where_it_is_asked_for(include):
    body = TALK | {"stream_options": {"include_usage": include}}
    listed = list(chunks(SCRIPT, "chat/completions", body, ["a", " b"]))
    assert [c["choices"][0]["delta"].get("content") for c in listed if c["choices"]] == ["", "a", " b", None]
    assert [c["choices"][0]["finish_reason"] for c in listed if c["choices"]][-1] == "length"
    assert bool(listed[-1].get("usage")) is include


def test_thoughts_come_first_and_take_their_part_of_the_limit():
    thinks = Script(names=("m",), text="one two three", length=3, thoughts=4)

    def said(limit):
        body = TALK | {"max_tokens": limit, "stream_options": {"include_usage": True}}
        *listed, usage = chunks(thinks, "chat/completions", body, words(thinks, "chat/completions", body))
        deltas = [c["choices"][0]["delta"] for c in listed]
        texts = (len([d for d in deltas if d.get(name)]) for name in ("reasoning", "content"))
        return *texts, listed[-1]["choices"][0]["finish_reason"], usage["usage"]["completion_tokens"]

    assert said(100) == (4, 3, "stop", 7)
    assert said(6) == (4, 2, "length", 6)
    assert said(3) == (3, 0, "length", 3)


def test_a_prompt_is_counted_by_words_and_by_characters_outside_ascii_and_too_long_a_one_refused():
    small = Script(names=("m",), context=40)
    chinese = {"messages": [{"role": "user", "content": "Hi there"}, {"role": "assistant", "content": "番茄酱"}]}
    assert tokenized(small, chinese)["count"] == 6  # three characters, and the word that they form
    assert models(small)["data"][0]["max_model_len"] == 40
    assert words(small, "chat/completions", chinese | {"max_tokens": 34})
    with pytest.raises(BadRequest, match="maximum context length is 40 tokens"):
        words(small, "chat/completions", chinese | {"max_tokens": 35})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([], 400),
        ({}, 400),
        ({"messages": []}, 400),
        ({"messages": "Hi"}, 400),
        (TALK | {"max_tokens": "many"}, 400),
        (TALK | {"max_tokens": -1}, 400),
        (TALK | {"model": "other"}, 404),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(body, status):
    with pytest.raises(BadRequest) as refused:
        words(SCRIPT, "chat/completions", body)
    assert refused.value.status == status


def test_the_command_line_is_the_script():
    asked = options(
        ["--served-model-name", "m", "--port", "1", "--text", "a b", "--tokens-per-s", "20", "--answer-nothing"]
    )
    assert script_of(asked) == Script(names=("m",), text="a b", tokens_per_s=20.0, silent=True)


def test_it_refuses_images_as_vllm_does_for_a_model_that_reads_text_alone():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    body = {"messages": [{"role": "user", "content": [image, {"type": "text", "text": "What is this?"}]}]}
    with pytest.raises(BadRequest, match="m is not a multimodal model") as refused:
        words(SCRIPT, "chat/completions", body)
    assert refused.value.status == 400
