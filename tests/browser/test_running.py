"""A person at the page, with a running model: steers its answers, and uses each screen."""

import base64

import pytest
from playwright.sync_api import expect

from tests.browser.screen import Screen, choose_in_menu
from tests.line import Line

pytestmark = pytest.mark.browser

NAME = "steady"
RECIPE = """\
engine: {kind: scripted, model: scripted, args: {tokens_per_s: 20, length: 60}}
resources: {cpus: 1+, ports: 8000}
service: {readiness_probe: {path: /health, initial_delay_seconds: 60}}
"""
"""Its answers take three seconds."""
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A picture of one pixel."""


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    recipes = tmp_path_factory.mktemp("recipes")
    (recipes / f"{NAME}.yaml").write_text(RECIPE)
    folder = tmp_path_factory.mktemp("line")
    with Line(folder, recipes=recipes, MIXTRAL_DEFAULT_RECIPE=NAME) as running:
        yield running


@pytest.fixture(scope="module")
def opened(line, tmp_path_factory):
    """A screen, and a deployment that is ready."""
    with Screen(line.page, tmp_path_factory.mktemp("screen")) as screen:
        screen.open()
        screen.write(f"/mixtral launch {NAME}")
        expect(screen.card(NAME)).to_contain_text("is ready", timeout=60_000)
        yield screen


@pytest.fixture
def screen(opened):
    opened.go("general")
    return opened


@pytest.fixture
def home(screen):
    """The app's Home tab."""
    screen.go("Mixtral", app=True)
    screen.test_id("home-tab").click()
    expect(screen.test_id("home")).to_contain_text(NAME)
    return screen.test_id("home")


def ask(screen, question):
    """Mention the bot, and open the thread of the answer."""
    screen.write(f"@mixtral {question}")
    asked = screen.messages().filter(has_text=question).last
    expect(asked.get_by_test_id("replies")).to_be_visible(timeout=30_000)
    screen.open_thread(asked)
    return asked


def test_a_person_stops_an_answer_in_its_thread(screen):
    ask(screen, "What goes on forever?")
    answer = screen.thread().nth(1)
    expect(answer).to_be_visible()
    expect(screen.test_id("stop")).to_be_visible()
    screen.look()
    screen.test_id("stop").click()
    expect(screen.test_id("stop")).to_have_count(0)
    expect(screen.test_id("status")).to_be_empty()
    length = len(answer.inner_text())
    screen.page.wait_for_timeout(1_500)
    assert len(answer.inner_text()) == length, "the answer grew after Stop"
    screen.look()
    screen.look_narrow_and_dark("stopped")
    screen.close_thread()


def test_a_person_asks_again_and_rates_the_new_answer(screen):
    ask(screen, "What is in a brine?")
    first = finished(screen, 1)
    screen.look()
    screen.look_narrow_and_dark("answered")
    screen.press(first, "Regenerate")
    expect(first).to_contain_text("This question was asked again")
    second = finished(screen, 2)
    screen.press(second, "Good answer")
    expect(second.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    screen.look()
    screen.look_narrow_and_dark("regenerated")
    screen.close_thread()


def finished(screen, at):
    """The n-th message of the thread, once the answer in it is complete."""
    answer = screen.thread().nth(at)
    expect(answer.get_by_role("button", name="Regenerate")).to_be_visible(timeout=30_000)
    return answer


def test_a_file_and_a_forwarded_message_are_shown_and_go_to_the_model(screen, line):
    text = line.folder / "notes.csv"
    text.write_text("condiment,price\n" + "ketchup,2.50\n" * 60)
    picture = line.folder / "dot.png"
    picture.write_bytes(base64.b64decode(DOT))
    screen.test_id("attach").set_input_files([text, picture])
    expect(screen.test_id("attached")).to_have_count(2)
    screen.look()
    screen.look_narrow_and_dark("attached")
    asked = ask(screen, "What costs most in this file?")
    expect(asked.get_by_test_id("file")).to_have_count(2)
    expect(asked).to_contain_text("ketchup,2.50")
    expect(asked.locator(".file img")).to_have_js_property("naturalWidth", 1)
    finished(screen, 1)
    screen.look()
    screen.look_narrow_and_dark("files")
    screen.close_thread()

    choose_in_menu(screen, asked, "Forward message…")
    screen.test_id("forward-to").select_option(label="#random")
    screen.test_id("forward-text").fill("Look at this")
    screen.look()
    screen.test_id("forward-send").click()
    screen.go("random")
    forwarded = screen.messages().last
    expect(forwarded.get_by_test_id("attachment")).to_contain_text("Robin")
    expect(forwarded.get_by_test_id("attachment")).to_contain_text("What costs most in this file?")
    screen.look()
    screen.look_narrow_and_dark("forwarded")


def test_home_has_a_row_of_the_deployment_whose_buttons_act_and_whose_link_leads_to_the_card(screen, home):
    expect(home).to_contain_text("Now")
    expect(home).to_contain_text(f"{NAME} is ready")
    screen.look()
    screen.look_narrow_and_dark("home")
    screen.press(home, "Scale")
    expect(screen.test_id("modal")).to_contain_text(f"Scale {NAME}")
    screen.look()
    screen.test_id("modal-x").click()
    screen.press(home, "End")
    expect(screen.test_id("modal")).to_contain_text(f"End {NAME}?")
    screen.test_id("modal-close").click()
    expect(screen.test_id("modal")).to_have_count(0)
    home.get_by_role("link", name="Card").click()
    expect(screen.card(NAME).locator("h3.header")).to_be_in_viewport()
