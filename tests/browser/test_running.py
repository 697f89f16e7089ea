"""A person at the page, with a running model: steers its answers, and uses each screen."""

import base64
import re

import pytest
from playwright.sync_api import expect

from tests.browser.screen import NARROW, Screen, choose_in_menu
from tests.line import Line
from tests.person import GENERAL

pytestmark = pytest.mark.browser

COUNT = """() => {
  window.made = { presses: 0, keys: 0 };
  addEventListener("pointerdown", () => { window.made.presses += 1; }, true);
  addEventListener("keydown", () => { window.made.keys += 1; }, true);
}"""
NAME = "steady"
RECIPE = """\
engine: {kind: scripted, model: scripted, args: {tokens_per_s: 10, length: 60, thoughts: 10}}
resources: {cpus: 1+, ports: 8000}
service: {readiness_probe: {path: /health, initial_delay_seconds: 60}}
"""
"""It thinks for a second, and answers for six: a person on a busy machine must be able to stop it before its end."""
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
    with Screen(line.page, tmp_path_factory.mktemp("screen")) as screen:
        screen.open()
        yield screen


@pytest.fixture(scope="module")
def made(opened):
    """The presses and keys from the bare channel to a model that answers, by what the screen offers a stranger."""
    expect(opened.messages()).to_have_count(0)
    opened.page.evaluate(COUNT)
    opened.test_id("first-hint").click()
    opened.test_id("send").click()
    form = opened.test_id("modal")
    expect(form).to_contain_text("Launch")
    opened.look()
    opened.look_narrow_and_dark("launch")
    form.get_by_test_id("modal-submit").click()
    expect(opened.card(NAME)).to_contain_text("is ready", timeout=60_000)
    expect(opened.card(NAME)).to_contain_text("My favourite condiment is", timeout=60_000)
    return opened.page.evaluate("window.made")


@pytest.fixture
def screen(opened, made):
    """The screen in the channel where a deployment is ready."""
    assert made
    opened.go("general")
    return opened


@pytest.fixture
def home(screen):
    """The app's Home tab."""
    screen.go("Mixtral", app=True)
    screen.test_id("home-tab").click()
    expect(screen.test_id("home")).to_contain_text(NAME)
    return screen.test_id("home")


def test_from_a_bare_channel_to_an_answering_model_are_three_presses_and_no_typing(screen, made):
    assert made == {"presses": 3, "keys": 0}
    screen.look()
    screen.look_narrow_and_dark("ready")


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
    expect(answer).to_contain_text("This answer was stopped.")
    length = len(answer.inner_text())
    screen.page.wait_for_timeout(1_500)
    assert len(answer.inner_text()) == length, "the answer grew after Stop"
    screen.look()
    screen.look_narrow_and_dark("stopped")
    screen.close_thread()


def test_a_person_asks_again_and_rates_the_new_answer(screen):
    ask(screen, "What is in a brine?")
    first = finished(screen, 1)
    thoughts = first.get_by_test_id("container")
    expect(thoughts.get_by_text("Hm.")).to_be_hidden()
    thoughts.get_by_text("Thought for").click()
    expect(thoughts.get_by_text("Hm.")).to_be_visible()
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


def test_the_settings_of_a_channel_are_changed_in_a_form_and_hold_for_the_next_question(screen):
    screen.write("/mixtral config")
    form = screen.test_id("modal")
    expect(form).to_contain_text("Settings")
    form.locator("[data-block-id=system] textarea").fill("You are a cook.\nAnswer in one sentence.")
    form.locator("[data-block-id=temperature] input").fill("7")
    form.get_by_test_id("modal-submit").click()
    expect(form.get_by_test_id("input-error")).to_contain_text("from 0 to 2")
    screen.look()
    form.locator("[data-block-id=temperature] input").fill("0.2")
    form.locator("[data-block-id=default] select").select_option(NAME)
    form.get_by_text("Answer only messages that mention the bot").click()
    screen.look_narrow_and_dark("config")
    form.get_by_test_id("modal-submit").click()
    expect(form).to_have_count(0)
    announced = screen.messages().filter(has_text="changed the settings of this channel")
    expect(announced).to_contain_text("You are a cook. Answer in one sentence.")
    screen.look()

    screen.write("/mixtral config")
    expect(form.locator("[data-block-id=temperature] input")).to_have_value("0.2")
    screen.press(form, "Reset to defaults")
    screen.test_id("confirm-yes").click()
    expect(screen.messages().filter(has_text="reset the settings of this channel")).to_be_visible()
    expect(form).to_contain_text("The settings are reset to the defaults.")
    screen.look()
    form.get_by_test_id("modal-x").click()
    expect(form).to_have_count(0)


def test_a_question_is_asked_in_the_form_that_the_card_opens(screen):
    screen.press(screen.card(NAME), "Ask")
    form = screen.test_id("modal")
    question = form.locator("textarea")
    expect(question).to_be_focused()
    screen.look()
    screen.look_narrow_and_dark("ask")
    question.fill("Which vinegar is the mildest?")
    form.get_by_test_id("modal-submit").click()
    expect(form).to_have_count(0)
    asked = screen.messages().filter(has_text="Which vinegar is the mildest?").last
    screen.open_thread(asked)
    finished(screen, 1)
    screen.look()
    screen.close_thread()


def test_a_model_is_asked_about_a_message_from_its_menu_also_on_a_telephone(screen):
    screen.write("Our oil is from 2019.")
    said = screen.messages().last
    expect(said).to_contain_text("Our oil is from 2019.")
    screen.page.set_viewport_size(NARROW)
    choose_in_menu(screen, said, "Ask a model about this")
    form = screen.test_id("modal")
    expect(form).to_contain_text("Our oil is from 2019.")
    form.locator("textarea").fill("Can we still use it?")
    screen.look()
    screen.look_narrow_and_dark("about")
    form.get_by_test_id("modal-submit").click()
    expect(form).to_have_count(0)
    screen.open_thread(said)
    expect(screen.thread().nth(1)).to_contain_text("Can we still use it?")
    finished(screen, 2)
    screen.look()
    screen.look_narrow_and_dark("about-answered")
    screen.close_thread()


def test_the_form_of_a_launch_follows_its_values_and_keeps_what_was_typed(screen):
    screen.write("/mixtral")
    form = screen.test_id("modal")
    name = form.locator("[data-block-id=name] input")
    expect(form).not_to_contain_text("GPUs of a replica")
    name.fill("condiments")
    form.locator("select").first.select_option("mixtral-8x7b")
    expect(form).to_contain_text("GPUs of a replica")
    expect(name).to_have_value("condiments")
    screen.look()
    screen.look_narrow_and_dark("form")
    name.fill("Condiments & more")
    form.get_by_test_id("modal-submit").click()
    expect(form.get_by_test_id("input-error")).to_be_visible()
    screen.look()
    form.get_by_test_id("modal-x").click()
    expect(form).to_have_count(0)


def test_a_launch_that_no_cloud_can_take_shows_prices_and_mends_on_every_screen(screen):
    screen.write("/mixtral launch mixtral-8x7b")
    card = screen.card("mixtral-8x7b")
    expect(card).to_contain_text("could not be launched")
    expect(card).to_contain_text(re.compile(r"7\.98.* USD/h.*8 . L4"))
    expect(card).to_contain_text("aws configure")
    screen.look()
    screen.look_narrow_and_dark("ladder")


def test_when_the_sandbox_stops_the_page_says_so_until_it_is_back(screen, line):
    """The last test: the stand-in comes back without what it had in memory."""
    line.kill("slack")
    expect(screen.test_id("stopped")).to_contain_text("The sandbox has stopped. Start it again with make demo.")
    expect(screen.test_id("socket")).to_have_attribute("data-connected", "false")
    line.wait(line.connected, 30, "the bot")
    expect(screen.test_id("stopped")).to_have_count(0)
    expect(screen.test_id("conversation")).to_have_attribute("data-channel-id", GENERAL)
    expect(screen.test_id("socket")).to_have_attribute("data-connected", "true")
