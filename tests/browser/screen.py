"""A person in front of the sandbox's page: types, clicks, and reads the screen."""

import re
import shutil
from pathlib import Path
from typing import Literal

from playwright.sync_api import ViewportSize, expect, sync_playwright

from tests.patience import PATIENCE

HERE = Path(__file__).parent
GEOMETRY = (HERE / "geometry.js").read_text()
ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
WIDE: ViewportSize = {"width": 1400, "height": 860}
NARROW: ViewportSize = {"width": 390, "height": 844}
LOOKS: tuple[tuple[ViewportSize, Literal["light", "dark"]], ...] = (
    (NARROW, "light"),
    (NARROW, "dark"),
    (WIDE, "light"),
    (WIDE, "dark"),
)
expect.set_options(timeout=5_000 * PATIENCE)  # otherwise 5 s, which a busy machine may need to draw
ANSWERED_WITHIN = 150_000.0
"""Milliseconds. A small model sometimes generates up to its limit of tokens."""


class Screen:
    """One window of a new browser. A context manager; a failure in it reports the path of a screenshot."""

    def __init__(self, address, folder, *, size=None, scale=1):
        self.address = address
        self.folder = folder
        self.complaints = []
        self._played = sync_playwright().start()
        chromium = shutil.which("chromium")
        assert chromium, "These tests drive Debian's Chromium: `apt-get install chromium`."
        self._browser = self._played.chromium.launch(executable_path=chromium, args=ARGS)
        context = self._browser.new_context(
            viewport=size or WIDE, device_scale_factor=scale, locale="en-GB", reduced_motion="reduce"
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
        context.add_init_script(path=HERE / "watch.js")
        context.set_default_timeout(15_000)
        self.page = context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", self._page_error)
        self.page.on("request", self._request)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if error is not None:
            error.add_note(f"What was on the screen: {self.picture('failed')}")
        self._browser.close()
        self._played.stop()

    # --- actions ------------------------------------------------------------

    def open(self):
        self.page.goto(self.address)
        expect(self.test_id("composer")).to_be_visible()

    def go(self, title, *, app=False):
        """Open a channel by its name, or the app's conversation."""
        group = self.page.locator(".rooms section").filter(has_text="Apps" if app else "Channels")
        group.get_by_text(title, exact=True).click()

    def write(self, text):
        """Type into the channel's composer, and send it."""
        self.test_id("composer").fill(text)
        self.test_id("composer").press("Enter")

    def reply(self, text):
        """Type into the thread's composer, and send it."""
        self.test_id("thread-composer").fill(text)
        self.test_id("thread-composer").press("Enter")

    def press(self, where, label):
        where.get_by_role("button", name=label, exact=True).click()

    def copy(self, block):
        """Click the copy button of a block of code. Returns the clipboard's content."""
        block.hover()
        block.get_by_test_id("copy").click()
        expect(block.get_by_test_id("copy")).to_have_text("Copied")
        return self.page.evaluate("navigator.clipboard.readText()")

    def open_thread(self, message):
        message.get_by_test_id("replies").click()
        expect(self.test_id("thread-panel")).to_be_visible()

    def close_thread(self):
        self.test_id("close-thread").click()
        expect(self.test_id("thread-panel")).to_have_count(0)

    # --- what is visible ----------------------------------------------------

    def test_id(self, name):
        return self.page.get_by_test_id(name)

    def messages(self):
        """The messages of the channel, with ephemeral ones, without replies."""
        return self.test_id("message-list").get_by_test_id("message")

    def thread(self):
        return self.test_id("thread-list").get_by_test_id("message")

    def card(self, name):
        """A deployment's card: the message whose heading begins with its name."""
        heading = self.page.locator("h3.header").filter(has_text=re.compile(rf"^\W*{re.escape(name)} "))
        return self.messages().filter(has=heading).and_(self.page.locator(":not([data-ephemeral])"))

    def whisper(self, text):
        """An ephemeral message to this person."""
        return self.page.locator("[data-testid=message][data-ephemeral]").filter(has_text=text).last

    def answer(self, at):
        """The n-th message of the thread, once it is complete."""
        message = self.thread().nth(at)
        expect(message).to_be_visible(timeout=ANSWERED_WITHIN)
        expect(message).to_have_attribute("data-streaming", "false", timeout=ANSWERED_WITHIN)
        expect(message.locator(".body")).to_contain_text("tokens/s", timeout=ANSWERED_WITHIN)
        return message

    def passed(self):
        """What was shown since the page was loaded: {headings: [text], written: {ts: [length]}}."""
        return self.page.evaluate("window.passed")

    def look(self):
        """Check that nothing overlaps, overflows, is fetched from elsewhere or logs an error."""
        wrong = self.page.evaluate(GEOMETRY) + self.complaints
        assert not wrong, "\n".join(wrong)

    def look_narrow_and_dark(self, name):
        """Repeat the check in both sizes, light and dark, and restore size and mode."""
        for size, scheme in LOOKS:
            self.page.set_viewport_size(size)
            self.page.emulate_media(color_scheme=scheme)
            self.picture(f"{name}-{size['width']}-{scheme}")
            self.look()
        self.page.set_viewport_size(WIDE)
        self.page.emulate_media(color_scheme="light")

    def picture(self, name):
        """Save a screenshot as PNG. Returns its path."""
        path = self.folder / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def _console(self, message):
        if message.type in {"error", "warning"}:
            self.complaints.append(f"console: {message.text}")

    def _page_error(self, error):
        self.complaints.append(f"page error: {error}")

    def _request(self, request):
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.complaints.append(f"fetched from elsewhere: {request.url}")


def choose_in_menu(screen, message, label):
    """Choose an action in the menu of a message."""
    message.hover()
    message.get_by_test_id("message-menu").click()
    screen.look()
    message.get_by_test_id("menu-item").filter(has_text=label).click()
