"""A stranger at the page of the running product, who follows what the screen offers, without typing."""

import pytest
from playwright.sync_api import expect

from tests.browser.screen import Screen
from tests.line import Line

pytestmark = pytest.mark.browser

COUNT = """() => {
  window.made = { presses: 0, keys: 0 };
  addEventListener("pointerdown", () => { window.made.presses += 1; }, true);
  addEventListener("keydown", () => { window.made.keys += 1; }, true);
}"""
READY_WITHIN = 60_000
"""Milliseconds from the last press to the test completion."""


def test_from_a_bare_channel_to_an_answering_model_are_three_presses_and_no_typing(tmp_path):
    with Line(tmp_path, MIXTRAL_DEFAULT_RECIPE="scripted") as line, Screen(line.page, tmp_path) as screen:
        screen.open()
        expect(screen.messages()).to_have_count(0)
        screen.page.evaluate(COUNT)
        screen.test_id("first-hint").click()
        screen.test_id("send").click()
        form = screen.test_id("modal")
        expect(form).to_contain_text("Launch")
        screen.look()
        screen.look_narrow_and_dark("form")
        form.get_by_test_id("modal-submit").click()
        card = screen.card("scripted")
        expect(card).to_contain_text("is ready", timeout=READY_WITHIN)
        expect(card).to_contain_text("My favourite condiment is", timeout=READY_WITHIN)
        assert screen.page.evaluate("window.made") == {"presses": 3, "keys": 0}
        screen.look()
        screen.look_narrow_and_dark("ready")
