"""Launches on EC2 and GCE as their stand-ins play them: every other part is the product's own."""

import csv
import json
import shutil
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import boto3
import httpx
import pytest

from tests import loopback
from tests.cloudy_line import CloudyLine, card_of
from tests.fakes.hub import FakeHub
from tests.patience import PATIENCE
from tests.person import GENERAL, Person, details_of, words
from workers.deployment.attempt import Phase
from workers.deployment.log import Log
from workers.deployment.state import fold
from workers.placement.refusals import Scope
from workers.sandbox import shortages

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(900)]

TABLE = Path(__file__).parents[2] / "workers" / "placement" / "offers.csv"
ANSWERS_WITHIN = 30.0
NOTICED_WITHIN = 15.0

RECIPES = {
    "nowhere": "resources: {accelerators: A100:8, infra: aws/us-nowhere-1, ports: 8000}",
    "farther": "resources: {accelerators: A100:8, ports: 8000}",
    "vpcless": "resources: {accelerators: A100:8, infra: aws/ap-northeast-1, ports: 8000}",
    "unsold": "resources: {accelerators: MI300X:8, ports: 8000}",
    "manyports": "resources: {accelerators: A100:8, ports: 99999}",
}
HOPELESS = """\
resources: {accelerators: A100:8, ports: 8000}
engine: {kind: scripted, model: scripted, args: {fail_start: "no such weights"}}
service: {readiness_probe: /health}
"""
REST = "\nengine: {kind: vllm, model: mistralai/Mixtral-8x7B-Instruct-v0.1}\nservice: {readiness_probe: /health}\n"


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clouds")
    recipes = folder / "recipes"
    recipes.mkdir()
    for name, resources in RECIPES.items():
        (recipes / f"{name}.yaml").write_text(resources + REST)
    (recipes / "hopeless.yaml").write_text(HOPELESS)
    shutil.copy(TABLE, folder / "prices.csv")
    more = {"MIXTRAL_PRICES": str(folder / "prices.csv"), "MIXTRAL_KEEP_TRYING_EVERY": "3s"}
    with CloudyLine(folder, recipes=recipes, **more) as started:
        yield started


@pytest.fixture
def robin(line):
    """A person in front of clouds that lack nothing and were asked for nothing."""
    line.mend()
    line.forget_calls()
    with Person(line.page) as person:
        yield person
        line.mend()
        end_all(line, person)


def end_all(line, person):
    for name in line.redis().hgetall("mixtral:names"):
        person.end(GENERAL, name.decode())
    line.wait(lambda: not line.redis().hgetall("mixtral:names"), 30, "the end of all deployments")
    if all_launches(line):
        for sighting in line.machines():  # those that nobody knows any more
            line.drivers[sighting.machine.cloud].terminate(sighting.machine.token)
        line.wait(lambda: not line.machines(), 20, "the end of all machines")


def launch(person, text):
    assert person.command(GENERAL, f"/mixtral launch {text}")["acked"]


def ready(person, name, timeout=30):
    return card_of(person, GENERAL, name, "is ready", "My favourite condiment is", timeout=timeout)


def machine_of(line, name):
    return line.deployment(name).ready[0].machine


def region_of(call):
    return call["region"] or call["zone"].rpartition("-")[0]


def type_of(call):
    return call.get("types") or call["machine_type"]


def all_launches(line):
    return [*line.launches("aws"), *line.launches("gcp")]


# --- failing over -------------------------------------------------------------------


def test_a_launch_fails_over_through_both_clouds_to_a_model_that_answers(tmp_path):
    with CloudyLine(tmp_path, engine="") as line, Person(line.page) as robin:
        for cloud, faults in (("gcp", shortages.GCE), ("aws", shortages.EC2)):
            for fault in faults:
                line.fault(cloud, **fault)
        launch(robin, "mixtral-8x7b")
        card = ready(robin, "mixtral-8x7b", ANSWERS_WITHIN)
        shown = words(card)

        # The price and the place that were taken, and what was refused before, without a code of any cloud's.
        assert "8.29 USD/h" in shown
        assert "AWS" in shown
        assert "us-east-2, 2 \N{MULTIPLICATION SIGN} RTXPRO6000" in shown
        assert "quota is missing" in shown
        behind = details_of(robin, card, "no capacity right now")
        assert "8 \N{MULTIPLICATION SIGN} L4, GCP us-central1 (3 zones): no capacity right now" in behind
        assert "2 \N{MULTIPLICATION SIGN} RTXPRO6000, AWS us-east-1 (2 zones): no capacity right now" in behind
        for said in (shown, behind):
            assert "EXHAUSTED" not in said
            assert "InsufficientInstanceCapacity" not in said

        # One call a region and type, and none that a refusal had answered before.
        calls = all_launches(line)
        asked = [(region_of(call), type_of(call)) for call in calls]
        assert len(set(asked)) == len(asked)
        assert asked.count(("us-east4", "g2-standard-96")) == asked.count(("us-central1", "g2-standard-96")) == 1
        assert len([a for a in asked if a[1].startswith("g2-")]) == 3, "the third quota is the whole project's"

        # Each refusal is in plain words, with the mend where a person can mend it.
        refusals = [r for a in line.deployment("mixtral-8x7b").attempts if a.refusal for r in a.refusal.refusals]
        assert {r.scope for r in refusals} == {Scope.ZONE, Scope.REGION, Scope.GPU}
        for refusal in refusals:
            assert refusal.code not in refusal.sentence or "quota" in refusal.sentence
            assert refusal.scope is Scope.ZONE or "console.cloud.google.com/iam-admin/quotas" in refusal.sentence

        whispered = words(robin.wait_for_ephemeral("mxk_"))
        key = whispered[whispered.index("mxk_") :][:36]
        chat = {"model": "mixtral-8x7b", "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 4}
        url = f"{line.gateway}/v1/chat/completions"
        answer = loopback.post(url, json=chat, headers={"Authorization": f"Bearer {key}"}, timeout=30).json()
        assert answer["choices"][0]["message"]["content"]


# --- losing machines ------------------------------------------------------------------


def test_machines_taken_back_or_deleted_are_noticed_shown_and_replaced(line, robin):
    fates = {
        "aws-spot": ("--clouds aws --spot", "preempt"),
        "gcp-spot": ("--clouds gcp --spot", "preempt"),
        "aws-gone": ("--clouds aws", "delete"),
        "gcp-gone": ("--clouds gcp", "delete"),
    }
    for name, (limits, _) in fates.items():
        launch(robin, f"mixtral-8x7b as {name} {limits}")
    for name in fates:
        ready(robin, name, 45)
    lost = {name: machine_of(line, name) for name in fates}
    began = time.monotonic()
    for name, (_, fate) in fates.items():
        line.end(lost[name], fate)
    for name in fates:
        left = NOTICED_WITHIN - (time.monotonic() - began) / PATIENCE  # `wait` multiplies by it
        line.wait(lambda name=name: line.deployment(name).attempts[0].gone_at, left, f"the loss of {name}")
    for name, (_, fate) in fates.items():
        line.wait(lambda name=name: len(line.deployment(name).attempts) > 1 and line.deployment(name).ready, 60, name)
        card = card_of(robin, GENERAL, name, "is ready")
        details_of(robin, card, f"· {'preempted' if fate == 'preempt' else 'was lost'} ")
        state = line.deployment(name)
        expected = Phase.PREEMPTED if "spot" in name else Phase.FAILED
        assert [a.phase for a in state.attempts if a.machine] == [expected, Phase.READY]
        assert machine_of(line, name).token != lost[name].token
    assert {s.machine.token for s in line.machines()} == {machine_of(line, name).token for name in fates}


# --- losing engines -----------------------------------------------------------------------


def test_an_engine_that_dies_is_started_again_on_its_machine_and_nothing_is_bought(line, robin):
    clouds = ("aws", "gcp")
    for cloud in clouds:
        launch(robin, f"mixtral-8x7b as on-{cloud} --clouds {cloud}")
    for cloud in clouds:
        ready(robin, f"on-{cloud}")
    machines = {cloud: machine_of(line, f"on-{cloud}") for cloud in clouds}
    for machine in machines.values():
        line.kill_engine(machine)
    for cloud in clouds:
        line.wait(lambda name=f"on-{cloud}": line.deployment(name).attempts[-1].engine_ends == 1, 60, "a restart")
    for cloud in clouds:
        # By the log: the card may still be the one from before.
        line.wait(lambda name=f"on-{cloud}": line.deployment(name).ready, 60, "an answer")
        ready(robin, f"on-{cloud}")
        assert machine_of(line, f"on-{cloud}").token == machines[cloud].token
        assert len(line.deployment(f"on-{cloud}").attempts) == 1


def test_an_engine_that_can_never_start_is_told_with_its_last_lines_after_two_machines(line, robin):
    launch(robin, "hopeless")
    id_ = line.wait(lambda: line.deployment("hopeless"), 20, "its log").id
    card_of(
        robin,
        GENERAL,
        "hopeless",
        "hopeless failed",
        "at each of its last 3 starts",
        "scripted: no such weights",
        timeout=120,
    )
    made = fold(id_, Log(line.redis()).read(id_))
    assert [a.phase for a in made.attempts] == [Phase.FAILED, Phase.FAILED]
    line.wait(lambda: not line.machines(), 20, "the end of its machines")


# --- losing Redis -------------------------------------------------------------------------


def listed(line):
    """What `mixtral-bot machines` prints, by the machine's id."""
    command = [sys.executable, "-m", "bot.cli", "machines", "--json"]
    done = subprocess.run(command, env=line.env, capture_output=True, text=True, timeout=60, check=True)
    return {row["id"]: row for row in json.loads(done.stdout)}


def answers(machine):
    try:
        return loopback.get(f"{machine.address}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


def two_answer(line, name):
    found = line.deployment(name).ready
    return len(found) == 2 and all(answers(attempt.machine) for attempt in found)


def left_alone(line, id_):
    """Whether the worker has logged that it does not end a machine that is in no log."""
    return f"{id_} belongs to no deployment that is known; it is not ended" in line.said("worker")


def test_after_redis_was_emptied_nothing_is_ended_and_the_machines_are_told_of(line, robin):
    for cloud in ("aws", "gcp"):
        launch(robin, f"mixtral-8x7b as on-{cloud} --clouds {cloud}")
    for cloud in ("aws", "gcp"):
        ready(robin, f"on-{cloud}")
    before = {s.machine.id: s.machine for s in line.machines()}
    assert len(before) == 2

    line.redis().flushall()
    line.kill("worker")  # its successor knows no more than Redis does
    for id_ in before:
        line.wait(lambda id_=id_: left_alone(line, id_), 30, f"a word on {id_}")
    assert {s.machine.id for s in line.machines()} == set(before)
    assert all(answers(machine) for machine in before.values())
    rows = listed(line)
    assert set(rows) == set(before)
    assert all("log of its deployment does not exist" in json.dumps(row) for row in rows.values())

    # The names are free, and a launch works as ever.
    launch(robin, "mixtral-8x7b as on-aws --clouds aws")
    line.wait(lambda: (s := line.deployment("on-aws")) and s.ready and s.endpoint, 30, "a launch afterwards")
    assert len(line.machines()) == 3


def test_after_redis_was_rolled_back_it_comes_to_exactly_the_wanted_machines(line, robin, tmp_path):
    launch(robin, "mixtral-8x7b as grown --clouds aws")
    launch(robin, "mixtral-8x7b as shrunk --clouds gcp --replicas 2")
    ready(robin, "grown")
    line.wait(lambda: len(line.deployment("shrunk").ready) == 2, 30, "two replicas")
    kept = machine_of(line, "grown")
    shutil.copytree(line.folder / "valkey", tmp_path / "earlier")

    # Afterwards, which Redis will know nothing of: one more here, one less there, and one deployment more.
    robin.command(GENERAL, "/mixtral scale grown 2")
    robin.command(GENERAL, "/mixtral scale shrunk 1")
    launch(robin, "mixtral-8x7b as newer --clouds aws")
    ready(robin, "newer")
    line.wait(lambda: len(line.deployment("grown").ready) == 2, 30, "a second replica")
    line.wait(lambda: len(line.machines()) == 4, 30, "the end of a replica")
    newer = machine_of(line, "newer")
    surplus = next(a.machine for a in line.deployment("grown").ready if a.machine.token != kept.token)
    before = {s.machine.token for s in line.machines()}

    line.roll_back(tmp_path / "earlier")
    line.kill("worker")
    line.wait(lambda: two_answer(line, "shrunk"), 45, "the replica that is wanted again")
    for machine in (newer, surplus):
        line.wait(lambda id_=machine.id: left_alone(line, id_), 30, f"a word on {machine.id}")
    now = {s.machine.token for s in line.machines()}
    assert before <= now
    wanted = {a.request.token for name in ("grown", "shrunk") for a in line.deployment(name).ready}
    assert now == wanted | {newer.token, surplus.token}
    assert [a.machine.token for a in line.deployment("grown").ready] == [kept.token]
    rows = listed(line)
    assert len(rows) == len(now)
    assert "does not contain it" in json.dumps(rows[surplus.id])
    assert "log of its deployment does not exist" in json.dumps(rows[newer.id])


# --- a dry ladder ---------------------------------------------------------------------------


def test_a_dry_ladder_counts_the_causes_and_keeps_trying_until_there_is_a_machine(line, robin):
    line.fault("aws", code="SomethingNew", message="Something new is wrong.", region="us-east-1")
    line.fault("aws", code="VcpuLimitExceeded", region="us-west-2")
    line.fault("aws", code="InsufficientInstanceCapacity")
    launch(robin, "mixtral-8x7b as dry --clouds aws --gpus A100:8")
    dry = card_of(robin, GENERAL, "dry", "No machine is available", "Keep trying", timeout=20)
    said = words(dry)
    state = line.deployment("dry")
    counted = {}
    for attempt in state.attempts:
        for refusal in attempt.refusal.refusals:
            counted[refusal.code] = counted.get(refusal.code, 0) + len(refusal.offers)
    assert f"{counted['InsufficientInstanceCapacity']} offers: no capacity right now" in said
    assert f"{counted['VcpuLimitExceeded']} offers: " in said
    assert f"{counted['SomethingNew']} offers: SomethingNew: Something new is wrong" in said
    assert sum(counted.values()) == len([r for r in state.rungs if r.usable]), "each offer is counted once"
    assert line.machines() == []

    assert robin.press(dry, "card_keep_trying")["ok"]
    robin.wait_for_ephemeral("tries again every 3 s")
    card_of(robin, GENERAL, "dry", "asked to keep trying", without=("Keep trying",))
    line.mend()
    shown = words(ready(robin, "dry", 40))
    assert "us-east-1" in shown, "whose refusal was believed for the shortest time"


# --- limits -----------------------------------------------------------------------------------


def cheapest(column, **wanted):
    """The table's first row by price that has the wanted cells and a sound price."""
    with TABLE.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["on_demand_usd_h"] and row["spot_usd_h"]]
    sound = [row for row in rows if Decimal(row["spot_usd_h"]) + Decimal("0.0001") < Decimal(row["on_demand_usd_h"])]
    fits = [row for row in sound if all(row[key] in values for key, values in wanted.items())]
    return min(fits, key=lambda row: (Decimal(row[column]), row["cloud"], row["region"]))


MIXTRAL = {
    "instance_type": {
        *("g6.48xlarge", "g6e.12xlarge", "g7e.12xlarge", "p4d.24xlarge", "p4de.24xlarge"),
        "g2-standard-96",
        *("a2-ultragpu-2g", "a2-ultragpu-4g", "a2-ultragpu-8g", "a2-highgpu-4g", "a2-highgpu-8g"),
    }
}


@pytest.mark.parametrize(
    ("flags", "column", "wanted"),
    [
        ("", "on_demand_usd_h", MIXTRAL),
        ("--clouds aws", "on_demand_usd_h", MIXTRAL | {"cloud": {"aws"}}),
        ("--gpus A100-80GB:4,A100:8", "on_demand_usd_h",
         {"instance_type": {"a2-ultragpu-4g", "p4d.24xlarge", "a2-highgpu-8g"}}),
        ("--spot", "spot_usd_h", MIXTRAL),
        ("--spot --clouds gcp --gpus A100:4", "spot_usd_h", {"instance_type": {"a2-highgpu-4g"}}),
    ],
)  # fmt: skip
def test_the_first_call_goes_to_the_cheapest_offer_within_the_limits(line, robin, flags, column, wanted):
    row = cheapest(column, **wanted)
    launch(robin, f"mixtral-8x7b as narrow {flags}")
    line.wait(lambda: all_launches(line), 20, "a launch call")
    line.wait(lambda: line.deployment("narrow").attempts[0].machine, 20, "a machine")
    [call] = all_launches(line)
    assert region_of(call) == row["region"]
    assert row["instance_type"] in type_of(call).split()
    made = line.deployment("narrow").attempts[0].machine.offer
    assert made.spot == ("--spot" in flags)
    if "lifecycle" in call:
        assert call["lifecycle"] == ("spot" if made.spot else "on demand")


def test_nothing_dearer_than_the_limit_is_ever_asked_for(line, robin):
    line.fault("gcp", code="ZONE_RESOURCE_POOL_EXHAUSTED")
    line.fault("aws", code="InsufficientInstanceCapacity")
    launch(robin, "mixtral-8x7b as thrifty --max-price 8.01")
    card_of(robin, GENERAL, "thrifty", "No machine is available", "Keep trying")
    assert line.launches("aws") == []
    with TABLE.open(newline="") as file:
        affordable = {
            row["region"]
            for row in csv.DictReader(file)
            if row["instance_type"] == "g2-standard-96" and 0 < Decimal(row["on_demand_usd_h"] or 0) <= Decimal("8.01")
        }
    assert {(region_of(c), type_of(c)) for c in line.launches("gcp")} == {(r, "g2-standard-96") for r in affordable}
    launch(robin, "mixtral-8x7b as stingy --max-price 1")
    assert "the cheapest is" in words(robin.wait_for_ephemeral("costs at most 1 USD/h"))


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cloud", "code", "said"),
    [
        ("aws", "AuthFailure", ("credentials are wrong or have expired", "AWS_SECRET_ACCESS_KEY")),
        ("aws", "ExpiredToken", ("credentials are wrong or have expired", "aws sso login")),
        ("gcp", "authError", ("credentials are wrong or have expired", "gcloud auth application-default login")),
        ("gcp", "projectNotFound", ("project does not exist", "Set GOOGLE_CLOUD_PROJECT")),
        ("gcp", "accessNotConfigured", ("API is not enabled", "gcloud services enable compute.googleapis.com")),
    ],
)
def test_what_bars_a_whole_cloud_is_named_with_its_mend_before_any_launch_call(line, robin, cloud, code, said):
    line.fault(cloud, code=code)
    launch(robin, f"mixtral-8x7b as barred --clouds {cloud}")
    card_of(robin, GENERAL, "barred", *said)
    assert all_launches(line) == []


def test_a_missing_machine_image_ends_the_launch_with_the_mend_and_nothing_to_keep_trying(line, robin):
    line.fault("aws", code="ParameterNotFound", action="GetParameter")
    launch(robin, "mixtral-8x7b as imageless --clouds aws")
    without = ("Keep trying",)
    said = "could not be launched", "95 offers: the machine image does not exist", "Set the recipe's image_id"
    card_of(robin, GENERAL, "imageless", *said, without=without)
    asked = [call["region"] for call in line.calls("aws") if call["action"] == "GetParameter"]
    # On a busy machine a region may be prepared for longer than the refusal waits for it: its launch asks again.
    assert len(asked) < 1.5 * len(set(asked)), "each region is asked once, all at the same time"
    assert all_launches(line) == []


def test_a_denied_region_is_asked_once_and_the_next_cheapest_one_gives_the_machine(line, robin):
    line.fault("aws", code="UnauthorizedOperation", region="us-east-2", action="*")
    launch(robin, "farther --clouds aws")
    ready(robin, "farther")
    refusals = [r for a in line.deployment("farther").attempts if a.refusal for r in a.refusal.refusals]
    assert {(r.scope, o.region) for r in refusals for o in r.offers} <= {(Scope.REGION, "us-east-2")}
    assert machine_of(line, "farther").offer.region != "us-east-2"


def test_a_new_group_that_the_fleet_does_not_find_for_seconds_costs_one_machine_and_no_refusal(line, robin):
    line.fault("aws", code="unseen", seconds=3)
    launch(robin, "farther as unseen --clouds aws")
    ready(robin, "unseen")
    assert [a.refusal for a in line.deployment("unseen").attempts] == [None]
    assert len(line.machines()) == 1


def test_a_region_without_a_default_vpc_is_named_with_its_mend(line, robin):
    keys = {"aws_access_key_id": "sandbox", "aws_secret_access_key": "sandbox"}
    ec2 = boto3.client("ec2", region_name="ap-northeast-1", endpoint_url=line.urls["aws"], **keys)
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    line.forget_calls()
    launch(robin, "vpcless")
    card_of(robin, GENERAL, "vpcless", "no default network", "aws ec2 create-default-vpc --region ap-northeast-1")
    assert all_launches(line) == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("unsold", ("no cloud is known to sell MI300X", "MIXTRAL_PRICES")),
        ("nowhere", ("no machine in the price table", "us-nowhere-1")),
    ],
)
def test_what_no_cloud_sells_is_named_on_the_card(line, robin, command, said):
    launch(robin, command)
    card_of(robin, GENERAL, command, *said)
    assert all_launches(line) == []


def test_a_gpu_that_the_recipe_does_not_take_is_refused_to_who_launches(line, robin):
    launch(robin, "mixtral-8x7b as nowhere-there --gpus H100:8")
    robin.wait_for_ephemeral("none of them is H100:8")
    assert all_launches(line) == []


def test_a_gpu_that_only_another_cloud_has_is_named(line, robin):
    launch(robin, "mixtral-8x7b as elsewhere --gpus A100-80GB:2 --clouds aws")
    assert "there are some on gcp" in words(robin.wait_for_ephemeral("No machine for mixtral-8x7b is sold on aws"))
    assert all_launches(line) == []


def test_a_port_out_of_range_is_refused_to_who_launches(line, robin):
    launch(robin, "manyports")
    refused = words(robin.wait_for_ephemeral("manyports.yaml"))
    assert "99999" in refused
    assert "65535" in refused
    assert all_launches(line) == []


@pytest.fixture
def prices(line):
    """The table that MIXTRAL_PRICES names, for a test to spoil."""
    path = Path(line.env["MIXTRAL_PRICES"])
    yield path
    shutil.copy(TABLE, path)


def test_broken_rows_of_the_price_table_are_named_by_their_lines(line, robin, prices):
    prices.write_text(prices.read_text().replace("30.09784", "a lot").replace(",96,1152,30.41028", ",,1152,30.41028"))
    launch(robin, "mixtral-8x7b as priceless")
    card_of(robin, GENERAL, "priceless", "prices.csv:452", 'on_demand_usd_h is "a lot"', "Correct the price table")
    assert all_launches(line) == []


def test_a_region_that_only_the_price_table_knows_is_named_before_any_launch_call(line, robin, prices):
    header, *rows = prices.read_text().splitlines()
    prices.write_text("\n".join([header, *(r.replace("us-east-2", "us-nowhere-1") for r in rows if "us-east-2" in r)]))
    launch(robin, "farther --clouds aws")
    card_of(robin, GENERAL, "farther", "AWS has no region us-nowhere-1", "Correct the region")
    assert all_launches(line) == []


def test_gated_weights_are_told_with_the_mend_before_any_launch_call_and_a_token_opens_them(line, robin):
    hub, model, token = FakeHub(), "mistralai/Mixtral-8x7B-Instruct-v0.1", "hf_tokenOfThisScenario1234"
    hub.models[model], hub.opens[token] = "auto", {model}
    there = {"HF_HUB_OFFLINE": None, "HF_ENDPOINT": hub.url}
    try:
        line.worker(**there)
        launch(robin, "mixtral-8x7b as gated")
        shown = words(card_of(robin, GENERAL, "gated", "could not be launched", "set HF_TOKEN where"))
        assert f"{hub.url}/{model}" in shown
        assert all_launches(line) == []
        line.worker(**there, HF_TOKEN=token)
        launch(robin, "mixtral-8x7b as opened")
        ready(robin, "opened")
        logs = (line.folder / "worker.log").read_text()
        assert token not in logs + shown
    finally:
        line.worker()
        hub.close()


def test_without_allowed_addresses_neither_cloud_is_asked_and_the_card_says_what_to_set(line, robin):
    line.worker(MIXTRAL_ALLOW_CIDRS=None)
    line.forget_calls()  # the worker before listed its machines
    try:
        launch(robin, "mixtral-8x7b as shut")
        shown = words(card_of(robin, GENERAL, "shut", "MIXTRAL_ALLOW_CIDRS is not set", "203.0.113.7/32"))
        assert "AWS" in shown
        assert "GCP" in shown
        assert line.calls("aws") == line.calls("gcp") == []
    finally:
        line.worker()
