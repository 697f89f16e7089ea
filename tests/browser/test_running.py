"""A person at the page, with a running model: steers its answers, and uses each screen."""

import pytest
from playwright.sync_api import expect

from tests.browser.screen import ANSWERED_WITHIN, Screen
from tests.line import Line

pytestmark = pytest.mark.browser

NAME = "slow"


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    with Line(tmp_path_factory.mktemp("line"), MIXTRAL_DEFAULT_RECIPE=NAME) as running:
        yield running


@pytest.fixture(scope="module")
def opened(line, tmp_path_factory):
    """A screen, and a deployment whose answers take six seconds."""
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
    expect(asked.get_by_test_id("replies")).to_be_visible(timeout=ANSWERED_WITHIN)
    screen.open_thread(asked)
    return asked


def test_a_person_stops_an_answer_in_its_thread(screen):
    ask(screen, "What goes on forever?")
    answer = screen.thread().nth(1)
    expect(answer).to_be_visible()
    expect(screen.test_id("stop")).to_be_visible()
    screen.look()
    screen.look_narrow_and_dark("answering")
    screen.test_id("stop").click()
    expect(screen.test_id("stop")).to_have_count(0)
    expect(screen.test_id("status")).to_be_empty()
    length = len(answer.inner_text())
    screen.page.wait_for_timeout(1_500)
    assert len(answer.inner_text()) == length, "the answer grew after Stop"
    screen.look()
    screen.look_narrow_and_dark("stopped")
    screen.close_thread()


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
