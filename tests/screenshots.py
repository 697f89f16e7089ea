"""Takes the README's pictures from the running demo: `make screenshots`."""

import sys
import tempfile
from pathlib import Path

import httpx
from playwright.sync_api import Locator, expect

from bot.sandbox.demo import NOTICE
from tests.browser.screen import ANSWERED_WITHIN, Screen
from tests.cloudy_line import CloudyLine
from tests.line import Line
from workers.sandbox import shortages

DOCS = Path(__file__).parent.parent / "docs"
NAME = "smollm2-135m"
QUESTION = "What is soy sauce?"
MAX_BYTES = 400_000
PAGE = {"width": 1300, "height": 900}
LADDER = {"width": 1060, "height": 950}
REPLICAS = {"width": 1060, "height": 1250}
TRIES = 40
CONDIMENTS = ("vinegar", "mustard", "ketchup", "mayonnaise", "sauce", "lemon", "pepper", "salt", "honey", "spice")
"""A scene is repeated until the test completion names one of these. The tiny model is often off topic."""


def main() -> int:
    DOCS.mkdir(exist_ok=True)
    for _ in range(TRIES):
        with tempfile.TemporaryDirectory() as folder:
            if play(Path(folder)):
                break
    else:
        sys.stderr.write(f"The model's answers were off topic in all of {TRIES} attempts.\n")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        failed_over(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        taken_back(Path(folder))
    for picture in sorted(DOCS.glob("*.png")):
        size = picture.stat().st_size
        print(f"{picture.relative_to(DOCS.parent)}  {size / 1000:.0f} kB")
        if size > MAX_BYTES:
            sys.stderr.write(f"{picture.name} is larger than {MAX_BYTES / 1000:.0f} kB.\n")
            return 1
    return 0


def play(folder: Path) -> bool:
    """Play one scene on a line of its own. Returns whether its pictures were taken."""
    recipes = folder / "recipes"
    recipes.mkdir()
    # An own home, so that no credentials are found.
    line = Line(folder, recipes=recipes, slack=("--notice", NOTICE), HOME=str(folder))
    with line, Screen(line.page, Path(tempfile.gettempdir()), size=PAGE, scale=1.5) as screen:
        screen.open()
        if not (launched(screen) and asked(screen)):
            return False
        fit(screen, screen.card(NAME))
        settle(screen)
        screen.page.screenshot(path=DOCS / "page.png")
    return True


def failed_over(folder: Path) -> None:
    """A launch of Mixtral that both stand-in clouds refuse several times, as in the demo."""
    line = CloudyLine(folder, engine="llamacpp", slack=("--notice", NOTICE), HOME=str(folder))
    with line, Screen(line.page, Path(tempfile.gettempdir()), size=LADDER, scale=1.5) as screen:
        for cloud, faults in (("aws", shortages.EC2), ("gcp", shortages.GCE)):
            for fault in faults:
                httpx.post(f"{line.urls[cloud]}/sandbox/faults", json=fault).raise_for_status()
        screen.open()
        form(screen)
        card = ladder(screen)
        settle(screen)
        card.screenshot(path=DOCS / "ladder.png")


def taken_back(folder: Path) -> None:
    """Three spot replicas in three zones. One is preempted, and its replacement is ready."""
    line = CloudyLine(folder, engine="llamacpp", slack=("--notice", NOTICE), HOME=str(folder))
    with line, Screen(line.page, Path(tempfile.gettempdir()), size=REPLICAS, scale=1.5) as screen:
        screen.open()
        screen.go("mixtral")
        screen.write("/mixtral launch mixtral-8x7b --spot --replicas 3")
        card = screen.card("mixtral-8x7b")
        expect(card).to_contain_text("3 of 3 ready", timeout=ANSWERED_WITHIN)
        expect(card).to_contain_text("Test completion", timeout=ANSWERED_WITHIN)
        dismiss_whispers(screen)
        line.end(line.machines()[1].machine, "preempt")
        expect(card).to_contain_text("was preempted", timeout=ANSWERED_WITHIN)
        expect(card).to_contain_text("3 of 3 ready", timeout=ANSWERED_WITHIN)
        shown = details(screen, card, "its replacement is ready")
        settle(screen)
        shown.screenshot(path=DOCS / "spot.png")


def launched(screen: Screen) -> bool:
    screen.write(f"/mixtral launch {NAME}")
    card = screen.card(NAME)
    expect(card).to_contain_text("Test completion", timeout=30_000)
    expect(screen.whisper("mxk_")).to_be_visible()
    said = card.locator("blockquote").last.inner_text()
    return said.isascii() and any(word in said for word in CONDIMENTS)


def asked(screen: Screen) -> bool:
    screen.write(f"/mixtral ask {QUESTION}")
    expect(screen.whisper("Asked")).to_be_visible()
    dismiss_whispers(screen)
    screen.open_thread(screen.messages().last)
    answer = screen.answer(1).inner_text()
    # Quotes and brackets indicate an invented name.
    return "fermented soybeans" in answer and 40 < len(answer.split()) < 110 and not set(answer) & set('"(')


def form(screen: Screen) -> None:
    """The form of a launch, with the price of what is chosen."""
    screen.write("/mixtral")
    modal = screen.test_id("modal")
    expect(modal).to_contain_text("USD/h")
    settle(screen)
    modal.screenshot(path=DOCS / "form.png")
    screen.test_id("modal-close").click()


def ladder(screen: Screen) -> Locator:
    """The card while the machine starts, with the reason of the last refusal unfolded."""
    screen.go("mixtral")
    screen.write("/mixtral launch mixtral-8x7b")
    card = screen.card("mixtral-8x7b")
    expect(card.locator("h3.header")).to_contain_text("is starting", timeout=ANSWERED_WITHIN)
    card.locator("[data-testid=task][data-status=error] summary").last.click()
    return card


def details(screen: Screen, card: Locator, said: str) -> Locator:
    """The modal behind a card, once it contains `said`."""
    screen.press(card, "Details")
    modal: Locator = screen.test_id("modal")
    expect(modal).to_contain_text(said)
    return modal


def dismiss_whispers(screen: Screen) -> None:
    """Dismiss all ephemeral messages, so that the picture shows neither keys nor text for one person."""
    while screen.test_id("dismiss").count():
        screen.test_id("dismiss").first.click()


def fit(screen: Screen, first: Locator) -> None:
    """Set the window's height, and scroll, so that the list of messages begins with `first`."""
    shown, listed = first.bounding_box(), screen.test_id("message-list").bounding_box()
    assert shown
    assert listed
    height = PAGE["height"] + round(listed["y"] - shown["y"])
    screen.page.set_viewport_size({"width": PAGE["width"], "height": height})
    first.evaluate("message => message.scrollIntoView({ block: 'start' })")


def settle(screen: Screen) -> None:
    """Remove hover and focus, and check the layout."""
    screen.page.mouse.move(0, 0)
    screen.page.evaluate("document.activeElement.blur()")
    screen.look()


if __name__ == "__main__":
    sys.exit(main())
