"""The page draws Block Kit, and sends what a person presses and types, as Slack does: without the product."""

import threading
from datetime import timedelta

import pytest
from playwright.sync_api import expect
from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient

from bot.sandbox import seed
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from tests.browser.screen import NARROW, WIDE, Screen, choose_in_menu
from tests.patience import PATIENCE
from tests.person import ADA, GENERAL, ROBIN, Person

pytestmark = pytest.mark.browser

ACK_WITHIN = 2.0
"""Seconds instead of Slack's 3. Only one test waits for them to pass; for the others they must last."""


class Desk:
    """The app of one test, the person's screen, and what the app got."""

    def __init__(self, stand_in, screen, bolt):
        self.screen, self.url, self.bolt = screen, stand_in.url, bolt
        self.client = bolt.client
        self._got = []
        self._came = threading.Event()

    def take(self, what):
        self._got.append(what)
        self._came.set()

    def next(self):
        """What the app takes next."""
        assert self._came.wait(5 * PATIENCE), "the app got nothing"
        self._came.clear()
        return self._got.pop()

    def show(self, *blocks, text="shown"):
        """Post a message of the app, and return it on the screen."""
        posted = self.client.chat_postMessage(channel=GENERAL, text=text, blocks=list(blocks))
        return self.screen.page.locator(f"[data-testid=message][data-ts='{posted['ts']}']").first

    def open_by_command(self, view):
        """Type a command that opens this modal; returns the modal on the screen."""

        @self.bolt.command("/mixtral")
        def opened(ack, command):
            ack()
            self.client.views_open(trigger_id=command["trigger_id"], view=view)

        self.screen.write("/mixtral open")
        expect(self.screen.test_id("modal")).to_be_visible()
        return self.screen.test_id("modal")


@pytest.fixture(scope="module")
def stand_in():
    with start(Settings(ack_within=timedelta(seconds=ACK_WITHIN), rate_scale=100)) as running:
        yield running


@pytest.fixture(scope="module")
def screen(stand_in, tmp_path_factory):
    with Screen(stand_in.url, tmp_path_factory.mktemp("blocks")) as opened:
        opened.open()
        yield opened


@pytest.fixture(scope="module")
def connection(stand_in):
    """One socket; each test gives it an app of its own."""
    handler = SocketModeHandler(App(client=stand_in_client(stand_in)), seed.APP_TOKEN, ping_interval=0.5)
    handler.connect()
    yield handler
    handler.client.auto_reconnect_enabled = False
    threading.Thread(target=handler.close).start()


def stand_in_client(stand_in):
    return WebClient(seed.BOT_TOKEN, base_url=stand_in.api_url)


@pytest.fixture
def desk(stand_in, screen, connection):
    connection.app = App(client=stand_in_client(stand_in), raise_error_for_unhandled_request=False)
    screen.page.set_viewport_size(WIDE)
    screen.go("general")
    expect(screen.test_id("socket")).to_have_attribute("data-connected", "true")
    return Desk(stand_in, screen, connection.app)


def plain(text):
    return {"type": "plain_text", "text": text}


def option(value):
    return {"text": plain(value.title()), "value": value}


def given(block, element, **further):
    return {
        "type": "input",
        "block_id": block,
        "label": plain(block),
        "element": {"action_id": "x", **element},
    } | further


def modal(*blocks, title="Try it", **further):
    view = {
        "type": "modal",
        "callback_id": "try",
        "title": plain(title),
        "submit": plain("Send"),
        "blocks": list(blocks),
    }
    return view | further


def rich(*lines):
    sections = [{"type": "rich_text_section", "elements": [{"type": "text", "text": line}]} for line in lines]
    return {"type": "rich_text", "elements": sections}


ONE_OF = [option("small"), option("large")]


def test_a_form_sends_what_a_person_chose_and_typed(desk):
    form = modal(
        given("size", {"type": "static_select", "options": ONE_OF}),
        given("gpus", {"type": "multi_static_select", "options": ONE_OF}),
        given("where", {"type": "conversations_select", "default_to_current_conversation": True}),
        given("who", {"type": "users_select"}),
        given("flags", {"type": "checkboxes", "options": ONE_OF}),
        given("kind", {"type": "radio_buttons", "options": ONE_OF, "initial_option": ONE_OF[0]}),
        given("most", {"type": "number_input", "is_decimal_allowed": False}, hint=plain("From 1 to 9.")),
        given("prompt", {"type": "plain_text_input", "multiline": True}),
        given("until", {"type": "datepicker"}),
        given("hour", {"type": "timepicker"}, optional=True),
    )

    @desk.bolt.view("try")
    def submitted(ack, view):
        ack()
        desk.take(view["state"]["values"])

    shown = desk.open_by_command(form)
    block = lambda name: shown.locator(f"[data-testid=input][data-block-id={name}]")  # noqa: E731
    shown.get_by_test_id("modal-submit").click()
    expect(shown.get_by_test_id("input-error").first).to_contain_text("required")
    block("size").locator("select").select_option("large")
    for value in ("small", "large"):
        block("gpus").locator("select").select_option(value)
    block("gpus").get_by_test_id("tag").first.click()
    block("who").locator("select").select_option(seed.ADA)
    block("flags").get_by_text("Small").click()
    block("kind").get_by_text("Large").click()
    block("most").locator("input").fill("7")
    block("prompt").locator("textarea").fill("Two\nlines")
    block("until").locator("input").fill("2026-12-24")
    desk.screen.look()
    desk.screen.look_narrow_and_dark("form")
    shown.get_by_test_id("modal-submit").click()
    values = {name: {k: v for k, v in e["x"].items() if k != "type"} for name, e in desk.next().items()}
    assert values == {
        "size": {"selected_option": option("large")},
        "gpus": {"selected_options": [option("large")]},
        "where": {"selected_conversation": GENERAL},
        "who": {"selected_user": seed.ADA},
        "flags": {"selected_options": [option("small")]},
        "kind": {"selected_option": option("large")},
        "most": {"value": "7"},
        "prompt": {"value": "Two\nlines"},
        "until": {"selected_date": "2026-12-24"},
        "hour": {"selected_time": None},
    }
    expect(shown).to_have_count(0)


def test_an_updated_modal_keeps_what_was_typed_and_takes_no_new_initial_value(desk):
    name = given("name", {"type": "plain_text_input", "initial_value": "fast"})
    size = given("size", {"type": "static_select", "options": ONE_OF}, dispatch_action=True)
    seen = threading.Event()

    @desk.bolt.action("x")
    def chosen(ack, body):
        ack()
        picked = body["actions"][0]["selected_option"]["value"]
        desk.take(body["view"]["state"]["values"])
        other = given("name", {"type": "plain_text_input", "initial_value": "another"})
        price = {"type": "section", "text": plain(f"{picked}: 5.89 USD/h")}
        desk.client.views_update(view_id=body["view"]["id"], view=modal(size, price, other))
        seen.set()

    shown = desk.open_by_command(modal(name, size, given("note", {"type": "plain_text_input"}, optional=True)))
    note = shown.locator("[data-block-id=note] input")
    note.fill("kept until its input goes")
    shown.locator("select").select_option("large")
    expect(shown).to_contain_text("large: 5.89 USD/h")
    assert desk.next()["note"]["x"]["value"] == "kept until its input goes"
    expect(shown.locator("[data-block-id=name] input")).to_have_value("fast")
    expect(shown.locator("select")).to_have_value("large")
    shown.get_by_test_id("modal-x").click()
    expect(shown).to_have_count(0)


def test_a_pushed_modal_goes_back_to_the_input_and_the_cross_closes_all(desk):
    more = {"type": "actions", "elements": [{"type": "button", "action_id": "more", "text": plain("More")}]}
    first = modal(more, given("name", {"type": "plain_text_input"}), notify_on_close=True)

    @desk.bolt.action("more")
    def push(ack, body):
        ack()
        desk.client.views_push(trigger_id=body["trigger_id"], view=modal({"type": "divider"}, title="More of it"))

    shown = desk.open_by_command(first)
    shown.locator("[data-block-id=name] input").fill("typed")
    desk.screen.press(shown, "More")
    top = shown.filter(has_text="More of it")
    expect(top).to_be_visible()
    desk.screen.look()
    top.get_by_test_id("modal-back").click()
    expect(shown).to_have_count(1)
    expect(shown.locator("[data-block-id=name] input")).to_have_value("typed")
    desk.screen.press(shown, "More")
    top.get_by_test_id("modal-x").click()
    expect(shown).to_have_count(0)


def test_errors_stand_at_their_inputs_and_an_app_that_is_slow_is_trouble(desk):
    @desk.bolt.view("try")
    def submitted(ack, view):
        if view["state"]["values"]["name"]["x"]["value"] == "taken":
            ack(response_action="errors", errors={"name": "There is one of this name. Choose another."})
        # Otherwise no ack.

    shown = desk.open_by_command(modal(given("name", {"type": "plain_text_input"})))
    field = shown.locator("[data-block-id=name] input")
    expect(field).to_be_focused()
    field.fill("taken")
    field.press("Enter")
    expect(shown.get_by_test_id("input-error")).to_contain_text("Choose another")
    field.fill("free")
    field.press("Enter")
    expect(shown.get_by_test_id("modal-submit")).to_be_disabled()
    expect(shown.get_by_test_id("modal-trouble")).to_contain_text("We had some trouble connecting. Try again?")
    expect(field).to_have_value("free")
    desk.screen.look()
    shown.get_by_test_id("modal-close").click()
    expect(shown).to_have_count(0)


def test_the_tasks_of_a_plan_fold_and_stay_unfolded_when_the_message_is_updated(desk):
    def plan(*done):
        tasks = [
            {"task_id": "1", "title": "aws us-east-1a · 8 x A100 · 21.96 USD/h", "status": "error"}
            | {"details": rich("No capacity right now."), "sources": [{"url": "https://x.example", "text": "Quota"}]},
            {
                "task_id": "2",
                "title": "gcp us-central1-a · 2 x A100-80GB",
                "status": "in_progress",
                "output": rich("8 min"),
            },
            *(
                {"task_id": f"t{n}", "title": f"An offer with a name that is long enough {n}", "status": "pending"}
                for n in range(9)
            ),
            *done,
        ]
        kinds = ("task_card",)
        return {
            "type": "plan",
            "title": "Launching mixtral: 1 refused",
            "tasks": [{"type": kinds[0], **t} for t in tasks],
        }

    shown = desk.show(plan())
    first = shown.get_by_test_id("task").first
    expect(first.get_by_text("No capacity right now.")).to_be_hidden()
    first.locator("summary").click()
    expect(first.get_by_text("No capacity right now.")).to_be_visible()
    ts = shown.get_attribute("data-ts")
    last = {"task_id": "z", "title": "Ready", "status": "complete"}
    desk.client.chat_update(channel=GENERAL, ts=ts, text="shown", blocks=[plan(last)])
    expect(shown.get_by_test_id("task")).to_have_count(12)
    expect(first.get_by_text("No capacity right now.")).to_be_visible()
    desk.screen.look()
    desk.screen.look_narrow_and_dark("plan")


def test_a_chart_and_a_folded_container_are_drawn(desk):
    days = [f"{n} Nov" for n in range(1, 15)]
    series = [
        {"name": name, "data": [{"label": day, "value": round(n * cost, 2)} for n, day in enumerate(days, 1)]}
        for name, cost in (("on demand", 4.25), ("spot", 1.5))
    ]
    chart = {"type": "bar", "series": series, "axis_config": {"categories": days, "y_label": "USD"}}
    pie = {"type": "pie", "segments": [{"label": "fast", "value": 30}, {"label": "slow", "value": 10}]}
    thoughts = {"type": "section", "text": plain("First I consider the salt. " * 20)}
    shown = desk.show(
        {"type": "data_visualization", "title": "USD per day", "chart": chart},
        {"type": "data_visualization", "title": "Shares", "chart": pie},
        {"type": "container", "title": plain("Thought for 8 s"), "child_blocks": [thoughts]}
        | {"is_collapsible": True, "default_collapsed": True},
    )
    expect(shown.get_by_test_id("chart").first.locator("rect")).to_have_count(28)
    expect(shown.get_by_role("img", name="USD per day. on demand: 1 Nov 4.25")).to_be_visible()
    expect(shown).to_contain_text("fast: 75 %")
    expect(shown.get_by_text("First I consider the salt.")).to_be_hidden()
    shown.get_by_text("Thought for 8 s").click()
    expect(shown.get_by_text("First I consider the salt.")).to_be_visible()
    desk.screen.look()
    desk.screen.look_narrow_and_dark("chart")


def test_the_feedback_of_an_answer_and_a_menu_send_their_values(desk):
    feedback = {
        "type": "feedback_buttons",
        "action_id": "feedback",
        "positive_button": {"text": plain("Good answer"), "value": "good"},
        "negative_button": {"text": plain("Bad answer"), "value": "bad"},
    }
    trash = {"type": "icon_button", "action_id": "bin", "icon": "trash", "text": plain("Remove"), "value": "it"}
    menu = {"type": "overflow", "action_id": "menu", "options": [option("small"), option("large")]}

    @desk.bolt.action("feedback")
    @desk.bolt.action("bin")
    @desk.bolt.action("menu")
    def acted(ack, body):
        ack()
        desk.take(body["actions"][0])

    shown = desk.show(
        {"type": "section", "text": plain("An answer."), "accessory": menu},
        {"type": "context_actions", "elements": [feedback, trash]},
    )
    desk.screen.press(shown, "Good answer")
    assert desk.next()["value"] == "good"
    expect(shown.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    desk.screen.press(shown, "Remove")
    assert desk.next()["value"] == "it"
    shown.get_by_test_id("overflow").click()
    desk.screen.page.get_by_test_id("menu-item").filter(has_text="Large").click()
    assert desk.next()["selected_option"]["value"] == "large"
    desk.screen.look()


def test_stop_is_offered_while_the_app_works_in_a_thread_and_reports_the_press(desk):
    @desk.bolt.event("agent_session_stopped")
    def stopped(event):
        desk.take(event)

    root = desk.show({"type": "section", "text": plain("A question")})
    ts = root.get_attribute("data-ts")
    desk.client.chat_postMessage(channel=GENERAL, thread_ts=ts, text="A first reply")
    desk.screen.open_thread(root)
    expect(desk.screen.test_id("stop")).to_have_count(0)
    desk.client.api_call(
        "assistant.threads.setStatus", json={"channel_id": GENERAL, "thread_ts": ts, "status": "is thinking…"}
    )
    expect(desk.screen.test_id("stop")).to_be_visible()
    desk.screen.look()
    desk.screen.look_narrow_and_dark("stop")
    desk.screen.test_id("stop").click()
    event = desk.next()
    assert (event["thread_ts"], event["user"]) == (ts, ROBIN)
    desk.screen.close_thread()


def test_a_private_notice_is_no_reply_and_is_replaced_by_its_response_url(desk):
    root = desk.show({"type": "section", "text": plain("A question with a notice")})
    ts = root.get_attribute("data-ts")
    desk.client.chat_postMessage(channel=GENERAL, thread_ts=ts, text="The reply")
    button = {"type": "actions", "elements": [{"type": "button", "action_id": "choose", "text": plain("Choose")}]}
    desk.client.chat_postEphemeral(channel=GENERAL, user=ROBIN, thread_ts=ts, text="Choose one", blocks=[button])

    @desk.bolt.action("choose")
    def chosen(ack, respond):
        ack()
        respond(text="You chose.", replace_original=True)

    desk.screen.open_thread(root)
    expect(desk.screen.thread()).to_have_count(3)
    expect(desk.screen.test_id("thread-list")).to_contain_text("1 reply")
    desk.screen.press(desk.screen.thread().last, "Choose")
    expect(desk.screen.thread().last).to_contain_text("You chose.")
    expect(desk.screen.thread()).to_have_count(3)
    desk.screen.close_thread()


def test_new_messages_are_announced_only_to_a_reader_who_does_not_see_them(desk):
    pill = desk.screen.test_id("jump-to-end")
    press = {"type": "actions", "elements": [{"type": "button", "action_id": "quiet", "text": plain("Press")}]}
    for n in range(12):
        shown = desk.show({"type": "section", "text": plain(f"Line {n}")}, press)
    desk.screen.press(shown, "Press")
    desk.show({"type": "section", "text": plain("This one is in sight")})
    expect(desk.screen.messages().last).to_contain_text("This one is in sight")
    expect(pill).to_have_count(0)

    desk.screen.test_id("message-list").evaluate("box => { box.scrollTop = 0 }")
    desk.show({"type": "section", "text": plain("This one is further down")})
    with Person(desk.url) as robin:
        robin.say(GENERAL, "My own, from another window")
    expect(pill).to_have_text("1 new message ↓")
    desk.screen.look()
    pill.click()
    expect(pill).to_have_count(0)
    expect(desk.screen.messages().last).to_be_in_viewport()


def test_a_link_to_a_message_leads_to_it_on_the_page(desk):
    away = desk.show({"type": "section", "text": plain("Far up")})
    link = desk.client.chat_getPermalink(channel=GENERAL, message_ts=away.get_attribute("data-ts"))["permalink"]
    for n in range(30):
        desk.show({"type": "section", "text": plain(f"Line {n}")})
    shown = desk.show({"type": "section", "text": {"type": "mrkdwn", "text": f"<{link}|Card>"}})
    expect(shown).to_be_in_viewport()
    expect(away).not_to_be_in_viewport()
    shown.get_by_role("link", name="Card").click()
    expect(away).to_be_in_viewport()
    desk.screen.look()


def test_the_composer_is_as_high_as_its_text_after_the_window_changes(desk):
    composer = desk.screen.test_id("composer")
    composer.fill("A sentence that is longer than a telephone is wide. " * 3)
    desk.screen.page.set_viewport_size(NARROW)
    fits = "box => box.scrollHeight <= box.clientHeight + 1"
    expect(composer).to_be_visible()
    desk.screen.page.wait_for_function(f"({fits})(document.querySelector('[data-testid=composer]'))")
    narrow = composer.bounding_box()["height"]
    desk.screen.page.set_viewport_size(WIDE)
    desk.screen.page.wait_for_function(
        f"document.querySelector('[data-testid=composer]').getBoundingClientRect().height < {narrow}"
    )
    composer.fill("")


def test_an_own_message_is_edited_as_it_was_typed_and_deleted(desk):
    desk.screen.write("@mixtral is 1 < 2?")
    own = desk.screen.messages().last
    expect(own).to_contain_text("@Mixtral is 1 < 2?")
    choose_in_menu(desk.screen, own, "Edit message")
    box = own.get_by_test_id("edit-box")
    expect(box).to_have_value("@mixtral is 1 < 2?")
    desk.screen.look()
    box.fill("@mixtral is 2 < 3?")
    box.press("Enter")
    expect(own).to_contain_text("@Mixtral is 2 < 3?")
    expect(own).to_contain_text("(edited)")
    choose_in_menu(desk.screen, own, "Delete message…")
    desk.screen.test_id("confirm-yes").click()
    expect(desk.screen.test_id("message-list")).not_to_contain_text("is 2 < 3?")


def test_what_is_posted_while_another_person_takes_the_page_over_is_shown(desk):
    page = desk.screen.page

    def arrives_late(route):
        answer = route.fetch()
        posted = desk.client.chat_postMessage(channel=GENERAL, text="Posted after the state was read")
        expect(page.locator(f"[data-ts='{posted['ts']}']").first).to_be_visible()
        route.fulfill(response=answer)

    page.route("**/page/state", arrives_late)
    try:
        desk.screen.test_id("acting-as").select_option(label="Ada")
        expect(desk.screen.test_id("acting-as")).to_have_value(ADA)
        expect(page.get_by_text("Posted after the state was read")).to_be_visible()
    finally:
        page.unroute("**/page/state")
        desk.screen.test_id("acting-as").select_option(label="Robin")
        expect(desk.screen.test_id("acting-as")).to_have_value(ROBIN)
