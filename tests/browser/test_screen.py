"""The checks of the page's layout find the defects that they are written for."""

import pytest
from playwright.sync_api import expect

from tests.browser.screen import Screen

pytestmark = pytest.mark.browser

STYLE = "<style>body { margin: 0; font: 15px sans-serif } div { width: 300px }</style>"


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    with Screen("http://127.0.0.1", tmp_path_factory.mktemp("screen")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ("<div>First line</div><div style='margin-top: -16px'>Second line</div>", "one over the other"),
        ("<div style='width: 2000px'>Wide</div>", "the page is 2000 px wide"),
        ("<div style='position: absolute; left: -30px'>Off the edge</div>", "cut off at the side"),
        ("<div><p style='width: 400px'>Sticks out of its box</p></div>", "holds 400 px in 300"),
        ("<button>Logs</button><button style='margin-left: -20px'>End</button>", "overlap"),
    ],
)
def test_a_defect_is_found(screen, html, found):
    screen.page.set_content(STYLE + html)
    with pytest.raises(AssertionError, match=found):
        screen.look()


def test_what_is_as_it_should_be_is_not_complained_of(screen):
    lines = "<div>First line<br>Second line</div>"
    scrolls = "<div style='overflow: auto'><p style='width: 400px'>Scrolls</p></div>"
    clips = "<div style='height: 20px; overflow: hidden'>Shown<p>Scrolled away</p></div>"
    buttons = "<button>Logs</button><button>End</button>"
    screen.page.set_content(STYLE + lines + scrolls + clips + buttons)
    screen.look()


def test_an_error_of_the_page_and_a_fetch_from_elsewhere_are_complained_of(screen):
    screen.page.set_content("<img src='http://127.0.0.2:9/away.png'><script>console.error('broken')</script>")
    expect(screen.page.locator("img")).to_have_count(1)
    with pytest.raises(AssertionError, match=r"(?s)(?=.*broken)(?=.*fetched from elsewhere)"):
        screen.look()
