"""A person at the page, from launch to down: input, and what the screen shows after it."""

import re
import shlex

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.screen import ANSWERED_WITHIN, Screen
from tests.line import Line

pytestmark = pytest.mark.browser

NAME = "smollm2-135m"
NOTICE = "This is a sandbox: SmolLM2-135M stands in for Mixtral."
READY_WITHIN = 60.0
"""Maximum time from the command to the test completion on the card, in seconds."""


@pytest.mark.timeout(420)
def test_a_person_launches_asks_scales_and_ends_a_model_in_the_page(tmp_path):
    with Line(tmp_path, slack=("--notice", NOTICE)) as line, Screen(line.page, tmp_path) as screen:
        screen.open()
        expect(screen.test_id("notice")).to_contain_text(NOTICE)
        screen.look()
        launch_by_hints(screen)
        the_curl_on_the_screen_answers(screen)
        ask_and_follow_up(screen)
        mention(screen)
        a_wrong_word_is_answered_to_the_person_alone(screen)
        scale(screen)
        details(screen)
        reload(screen)
        screen.look_narrow_and_dark("channel")
        write_to_the_app_and_open_its_home(screen)
        end(screen)
        assert line.machines() == []


def launch_by_hints(screen):
    """`/`, Tab, `la`, Enter and the recipe's name launch it. The card shows its states up to the test completion."""
    composer = screen.test_id("composer")
    composer.press_sequentially("/")
    expect(screen.test_id("hint").first).to_contain_text("/mixtral")
    composer.press("Tab")
    expect(screen.test_id("hint")).to_contain_text([f"/mixtral {word}" for word in ("launch", "status", "ask")])
    screen.look()
    composer.press_sequentially("la")
    expect(screen.test_id("hint")).to_have_count(1)
    composer.press("Enter")
    expect(composer).to_have_value("/mixtral launch ")
    composer.press_sequentially(NAME)
    expect(screen.test_id("usage")).to_contain_text("[RECIPE] [as NAME]")
    screen.look()
    composer.press("Enter")

    card = screen.card(NAME)
    expect(card).to_contain_text("Test completion", timeout=READY_WITHIN * 1000)
    expect(card).to_contain_text(f"{NAME} is ready")
    expect(card).to_contain_text("My favourite condiment is")
    expect(card).to_contain_text(re.compile(r"http://127\.0\.0\.1:\d+/v1"))
    headings = [each for each in screen.passed()["headings"] if NAME in each]
    assert len(headings) > 1, headings
    assert headings[-1].endswith("is ready")
    screen.look()


def the_curl_on_the_screen_answers(screen):
    """The card's command contains no key. The ephemeral one contains it, and works when copied."""
    key = screen.whisper("mxk_")
    expect(key.get_by_test_id("ephemeral")).to_contain_text("Only visible to you")
    command = screen.copy(key.locator(".code-block").filter(has_text="curl"))
    answer = run(command)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]

    public = screen.copy(screen.card(NAME).locator(".code-block").filter(has_text="curl"))
    assert "mxk_" not in screen.card(NAME).inner_text()
    assert run(public).status_code == 401


def run(command):
    """Make the request of a curl command on the screen, so that curl is not needed."""
    program, url, *rest = shlex.split(command.replace("\\\n", " "))
    assert program == "curl"
    options = list(zip(rest[::2], rest[1::2], strict=True))
    headers = dict(value.split(": ", 1) for option, value in options if option == "-H")
    [body] = [value for option, value in options if option == "-d"]
    return httpx.post(url, headers=headers, content=body, timeout=60, trust_env=False)


def ask_and_follow_up(screen):
    """A question by command is answered in its thread while the person watches, and so is a further one there."""
    screen.write("/mixtral ask Tell me about soy sauce, salt and vinegar.")
    question = screen.messages().filter(has_text="soy sauce, salt").and_(screen.page.locator(":not([data-ephemeral])"))
    screen.open_thread(question)
    first = screen.answer(1)
    expect(first.locator(".author")).to_have_text("Mixtral")
    written = screen.passed()["written"][first.get_attribute("data-ts")]
    assert len(written) > 1, f"the answer came at once, and did not grow: {written}"
    assert written == sorted(written)
    screen.look()

    screen.reply("And in one sentence?")
    expect(screen.thread().nth(2)).to_contain_text("And in one sentence?")
    screen.answer(3)
    expect(screen.test_id("thread-list")).to_contain_text("3 replies")
    screen.look()
    screen.look_narrow_and_dark("thread")
    screen.close_thread()
    expect(question.get_by_test_id("replies")).to_contain_text("3 replies")


def mention(screen):
    """`@mi`, Tab: the bot answers in a thread under the message."""
    composer = screen.test_id("composer")
    composer.press_sequentially("@mi")
    expect(screen.test_id("hint")).to_contain_text(["@mixtral"])
    composer.press("Tab")
    composer.press_sequentially("What is ketchup made of?")
    composer.press("Enter")
    said = screen.messages().last
    expect(said.locator(".mention")).to_have_text("@Mixtral")
    expect(said).to_contain_text("What is ketchup made of?")
    expect(said.get_by_test_id("replies")).to_be_visible(timeout=ANSWERED_WITHIN)
    screen.open_thread(said)
    screen.answer(1)
    screen.close_thread()


def a_wrong_word_is_answered_to_the_person_alone(screen):
    screen.write("/mixtral lunch")
    refusal = screen.whisper("lunch")
    expect(refusal.get_by_test_id("ephemeral")).to_be_visible()
    expect(refusal).to_contain_text("/mixtral launch")
    screen.look()
    refusal.get_by_test_id("dismiss").click()
    expect(refusal).to_have_count(0)


def scale(screen):
    """The card's button opens a modal that rejects invalid numbers; 2 starts a second replica."""
    screen.press(screen.card(NAME), "Scale")
    modal = screen.test_id("modal")
    expect(modal).to_contain_text(f"Scale {NAME}")
    for nonsense in ("200", "-1"):
        modal.locator("input").fill(nonsense)
        screen.test_id("modal-submit").click()
        expect(screen.test_id("input-error")).to_contain_text("from 0 to 50")
        screen.look()
    modal.locator("input").fill("2")
    screen.test_id("modal-submit").click()
    expect(modal).to_have_count(0)
    expect(screen.card(NAME)).to_contain_text("2 of 2 ready", timeout=30_000)
    screen.look()


def details(screen):
    """The card's button opens replicas and logs where it is pressed. Refresh reads them again."""
    screen.press(screen.card(NAME), "Details")
    modal = screen.test_id("modal")
    for part in ("Replicas", "replica 2", "Logs"):
        expect(modal).to_contain_text(part)
    expect(modal.locator(".code-block").first).to_be_visible()
    screen.look()
    screen.look_narrow_and_dark("details")
    screen.press(modal, "Refresh")
    expect(modal.locator(".code-block").first).to_be_visible()
    screen.test_id("modal-close").click()
    expect(modal).to_have_count(0)


def reload(screen):
    """After a reload everything is still shown, including the thread."""
    before = screen.test_id("message-list").inner_text()
    question = screen.messages().filter(has_text="What is ketchup made of?")
    screen.open_thread(question)
    thread = screen.test_id("thread-list").inner_text()
    screen.page.reload()
    expect(screen.test_id("thread-list")).to_have_text(re.compile("What is ketchup made of"))
    assert screen.test_id("thread-list").inner_text() == thread
    screen.close_thread()
    assert screen.test_id("message-list").inner_text() == before
    screen.look()


def write_to_the_app_and_open_its_home(screen):
    """A direct message is answered in a thread that opens by itself. Home lists what runs."""
    screen.go("Mixtral", app=True)
    screen.write("What is olive oil?")
    expect(screen.test_id("thread-panel")).to_be_visible(timeout=ANSWERED_WITHIN)
    screen.answer(1)
    screen.look()
    screen.close_thread()
    screen.test_id("home-tab").click()
    home = screen.test_id("home")
    expect(home).to_contain_text(NAME)
    expect(home).to_contain_text("2 of 2")
    screen.look()
    screen.look_narrow_and_dark("home")
    screen.go("general")


def end(screen):
    """`End` asks for confirmation. Then the card shows the end and the duration, and Launch again… opens the form."""
    card = screen.card(NAME)
    screen.press(card, "End")
    question = screen.test_id("modal")
    expect(question).to_contain_text(f"End {NAME}?")
    screen.look()
    screen.test_id("modal-close").click()
    expect(question).to_have_count(0)
    expect(card).to_contain_text("is ready")

    screen.press(card, "End")
    screen.test_id("modal-submit").click()
    expect(card).to_contain_text(f"{NAME} is down", timeout=30_000)
    expect(card).to_contain_text(re.compile(r"Ran (\d+ min|\d+ s)"))
    expect(card.locator("h3.header")).to_be_in_viewport()
    expect(card.get_by_test_id("action-button")).to_have_text(["Launch again…", "Details"])
    assert "curl" not in card.inner_text()
    screen.look()
    screen.press(card, "Launch again…")
    expect(screen.test_id("modal")).to_contain_text(NAME)
    screen.look()
    screen.test_id("modal-close").click()
