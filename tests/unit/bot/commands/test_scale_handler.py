"""How many replicas a person may ask for, and what they are told."""

from datetime import UTC, datetime

import pytest

from bot.language.command import Launch
from bot.views import alerts, scale
from bot.views.amounts import moment
from tests.builders.offers import offer
from tests.builders.recipes import MIXTRAL, scaled_by
from tests.builders.story import Story
from tests.fakes.office import Office
from tests.gallery import by_load, spot, two
from workers.deployment.events import LadderPlanned

URL = "http://127.0.0.1:1"
END = datetime(2030, 1, 1, tzinfo=UTC)
LOAD = {"min_replicas": 2, "max_replicas": 5, "target_qps_per_replica": 1.0}


@pytest.fixture
def office(redis):
    return Office(redis)


def wanted(office):
    return office.requests.get("fast").wanted


def test_more_than_the_recipe_allows_is_refused_with_the_limit_and_its_field(office):
    office.running.put("fast", URL, recipe=scaled_by(max_replicas=3))
    said = office.says("scale fast 4")
    assert "allows at most 3 replicas (`max_replicas` in `service.replica_policy`)" in said
    assert "Ask for 3 or fewer" in said
    assert wanted(office) == 1
    assert "from 1 replica to 3" in office.says("scale fast 3")


def test_a_launch_with_more_than_its_recipe_allows_starts_nothing(office, monkeypatch):
    shelf = office.context.recipes
    monkeypatch.setattr(shelf, "complete", lambda *_: scaled_by(max_replicas=3))
    assert "at most 3 replicas" in office.says(Launch(name="fast", replicas=4))
    assert office.requests.all() == []


@pytest.mark.parametrize("number", ["-1", "1000", "51"])
def test_numbers_that_are_none_change_nothing(office, number):
    office.running.put("fast", URL)
    assert "a whole number from 0 to 50" in office.says(f"scale fast {number}")
    assert wanted(office) == 1


def test_where_the_load_decides_fewer_than_its_least_are_refused(office):
    office.running.put("fast", URL, recipe=scaled_by(**LOAD))
    for number in (0, 1):
        said = office.says(f"scale fast {number}")
        assert "at least 2 replicas (`min_replicas` in `service.replica_policy`)" in said
        assert f"{number} would be raised immediately" in said
    assert wanted(office) == 1
    assert "From then on, the load decides: 2 to 5 replicas." in office.says("scale fast 3")


def test_where_nothing_moves_it_a_person_may_go_below_the_recipes_number(office):
    office.running.put("fast", URL, recipe=scaled_by(min_replicas=2))
    assert "from 1 replica to 2" in office.says("scale fast 2")
    assert "from 2 replicas to 1." in office.says("scale fast 1")


def test_at_zero_the_endpoint_stays_and_it_is_said_what_becomes_of_requests(office):
    office.running.put("fast", URL)
    said = office.says("scale fast 0")
    assert "from 1 replica to 0" in said
    assert "a 503 with `Retry-After` until it is scaled up" in said
    assert wanted(office) == 0
    assert "nothing changes. The endpoint stays" in office.says("scale fast 0")


def test_a_recipe_that_may_go_to_zero_wakes_by_a_request(office):
    office.running.put("fast", URL, recipe=scaled_by(min_replicas=0))
    assert "after 20 min without a request" in office.says("scale fast 2")
    assert "The next request starts a replica and waits for it" in office.says("scale fast 0")


def test_asked_for_the_same_number_what_was_given_up_is_tried_again(office):
    id_ = office.running.put("fast", URL)
    office.says("scale fast 2")
    assert "nothing changes" in office.says("scale fast 2")
    office.running.append(office.running.story(id_).abandoned("It crashed."))
    assert "tries again to run 2 replicas" in office.says("scale fast 2")
    assert office.requests.get("fast").abandoned is None


def scaled(told, replicas):
    before = told.state
    return scale.changed(before, told.scaled(replicas).state, told.now).text


def test_it_is_said_what_the_change_costs_per_hour_and_per_day():
    told = Story("fast", MIXTRAL).planned(offer(usd="16.47"), offer("gcp r-b", "20.00")).asked().created().ready()
    assert "This costs about 65.88 USD/h (1,581.12 USD per day) more." in scaled(told, 5)
    assert "This saves 65.88" not in scaled(told, 1), "of machines that were never rented"
    assert "This saves 7.40 USD/h (177.60 USD per day)." in scaled(spot(), 1)
    assert "What this costs is not known: no offer of the ladder is open now." in scaled(served_without_offers(), 2)
    assert "USD" not in scaled(two(), 3), "processes on this host cost nothing"
    assert "costs" not in scaled(served_without_offers(), 1), "the same number costs the same"


def served_without_offers():
    return Story("fast", MIXTRAL).planned(offer(usd=1)).asked().created().ready().tell(LadderPlanned, rungs=())


def test_a_cheaper_zone_that_refuses_is_not_the_price():
    told = Story("fast", MIXTRAL).planned(offer(usd="10"), offer("gcp r-b", "20")).asked().refused("no capacity")
    told.asked(offer("gcp r-b", "20")).created().ready()
    assert "This costs about 20.00 USD/h (480.00 USD per day) more." in scaled(told, 2)


def test_the_form_says_what_each_further_replica_costs():
    told = Story("fast", MIXTRAL).planned(offer(usd="16.47")).asked().created().ready()
    assert "Each further replica costs about 16.47 USD/h (395.28 USD per day)." in str(
        scale.modal(told.state, told.now)
    )


def test_who_is_scaled_away_is_said_in_the_order_in_which_they_go():
    said = scaled(spot(), 1)
    assert "Replica 2 at AWS use1-az2 in us-east-1 (7.40 USD/h) takes no new request, finishes" in said
    said = scaled(by_load(), 1)
    assert "Replica 3 at GCP europe-west4-a (6.49 USD/h) ends immediately: it was not ready yet." in said
    assert "Replica 2 at GCP us-central1-c (5.89 USD/h) takes no new request" in said
    assert "Replicas 2 and 1 take no new request" in scaled(two(), 0)


def test_the_modal_asks_for_what_the_recipe_takes_and_says_who_goes_first():
    view = scale.modal(by_load().state, by_load().now)
    [number] = (block["element"] for block in view["blocks"] if block["type"] == "input")
    assert (number["min_value"], number["initial_value"], number["max_value"]) == ("1", "3", "5")
    assert "replicas in this order: 3, 2" in str(view["blocks"])


def test_a_deployment_with_an_end_still_ends_after_it_is_scaled_to_zero(office):
    id_ = office.running.put("fast", URL)
    assert "It still ends" not in office.says("scale fast 0")
    office.requests.keep_until(id_, END, by="U1")
    assert f"It still ends {moment(END)}." in office.says("scale fast 2")


def test_the_announcement_of_an_end_offers_no_number_that_the_recipe_refuses():
    for recipe, offers_zero in ((MIXTRAL, True), (scaled_by(**LOAD), False)):
        told = Story(recipe=recipe, until=END).announced(END)
        buttons = alerts.ends(told.state, told.state.end_announced).blocks[-1]["elements"]
        assert ("card_scale_to_zero" in [button["action_id"] for button in buttons]) is offers_zero
