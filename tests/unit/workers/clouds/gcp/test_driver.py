import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from recipes.loader import find, load
from tests.builders.machines import INSTALLATION, SECRETS, boot, request
from tests.fakes.gcp import GcpCloud
from tests.fakes.ladder import climb
from tests.patience import PATIENCE
from workers.clouds.driver import DriverError, Refused
from workers.clouds.gcp.driver import GcpDriver
from workers.machines import ANYWHERE, Presence, Token
from workers.placement import catalog
from workers.placement.batches import batch
from workers.placement.limits import Limits
from workers.placement.planner import plan
from workers.placement.refusals import Scope

LAUNCHES = ("instances.insert", "regionInstances.bulkInsert")


@pytest.fixture
def cloud():
    cloud = GcpCloud()
    yield cloud
    cloud.close()


@pytest.fixture
def driver(cloud):
    return cloud.driver


def offers(type_="a2-ultragpu-2g", region="us-central1", *, spot=False):
    sold = [o for o in catalog.load() if (o.instance_type, o.region, o.spot) == (type_, region, spot)]
    assert sold
    return sold


def one(token="d1-1", **changes):
    return request(token, offers()[:1], **changes)


def several(token="d1-1", **changes):
    assert len(offers()) == 2
    return request(token, offers(), **changes)


def launches(cloud):
    return cloud.calls(*LAUNCHES)


def instances(cloud):
    return list(cloud.server.cloud.instances.values())


def comes(holds, seconds=5):
    deadline = time.monotonic() + seconds * PATIENCE
    while not (answer := holds()):
        assert time.monotonic() < deadline, "did not come"
        time.sleep(0.02)
    return answer


def seen(driver, token="d1-1"):
    return next(s for s in driver.owned(INSTALLATION) if s.machine.token == token)


def test_an_instance_is_what_was_asked_for(cloud, driver):
    machine = driver.create(one(boot=boot(disk_gib=512, disk_tier="high")), SECRETS)
    (made,) = instances(cloud)
    assert machine.address == f"http://{made['networkInterfaces'][0]['accessConfigs'][0]['natIP']}:8000"
    assert made["name"] == machine.id == "mixtral-d1-1"
    assert made["labels"] == {
        "mixtral-installation": "i-test",
        "mixtral-deployment": "d-1",
        "mixtral-replica": "1",
        "mixtral-attempt": "2",
        "mixtral-token": "d1-1",
    }
    disk = made["disks"][0]
    assert (disk["boot"], disk["autoDelete"]) == (True, True)
    assert disk["initializeParams"]["diskSizeGb"] == "512"
    assert disk["initializeParams"]["diskType"] == "zones/us-central1-a/diskTypes/pd-ssd"
    assert disk["initializeParams"]["sourceImage"].endswith("images/common-cu129-ubuntu-2204-nvidia-580-v20261101")
    assert made["scheduling"]["provisioningModel"] == "STANDARD"
    assert made["scheduling"]["instanceTerminationAction"] == "DELETE"
    assert made["scheduling"]["maxRunDuration"] == {"seconds": str(30 * 24 * 3600)}
    assert "serviceAccounts" not in made


def test_a_spot_machine_is_asked_for_as_one(cloud, driver):
    driver.create(request("d1-1", offers(spot=True)[:1]), SECRETS)
    assert instances(cloud)[0]["scheduling"]["provisioningModel"] == "SPOT"


def test_only_the_allowed_networks_reach_the_recipe_s_port(cloud, driver):
    driver.create(one(boot=boot(port=8123)), SECRETS)
    (rule,) = cloud.server.cloud.firewalls.values()
    assert rule["allowed"] == [{"IPProtocol": "tcp", "ports": ["8123"]}]
    assert rule["sourceRanges"] == ["203.0.113.0/24"]
    assert rule["targetTags"] == instances(cloud)[0]["tags"]["items"] == [rule["name"]]


def test_a_rule_is_made_once_and_follows_what_is_allowed(cloud, driver):
    driver.create(one("d1-1"), SECRETS)
    cloud.again().create(one("d1-2"), SECRETS)
    assert len(cloud.calls("firewalls.insert")) == 1
    assert cloud.calls("firewalls.patch") == []
    GcpDriver(cloud.environ | {"MIXTRAL_ALLOW_CIDRS": "198.51.100.1, 203.0.113.0/24"}).create(one("d1-3"), SECRETS)
    (rule,) = cloud.server.cloud.firewalls.values()
    assert rule["sourceRanges"] == ["198.51.100.1/32", "203.0.113.0/24"]


def test_one_zone_is_an_insert_and_several_are_one_bulk_insert(cloud, driver):
    driver.create(one("d1-1"), SECRETS)
    machine = driver.create(several("d1-2"), SECRETS)
    assert [call["method"] for call in launches(cloud)] == list(LAUNCHES)
    assert machine.offer in offers()


def test_a_bulk_insert_finds_the_zone_that_has_one(cloud, driver):
    cloud.fault("ZONE_RESOURCE_POOL_EXHAUSTED", zone="us-central1-a")
    assert driver.create(several(), SECRETS).offer.zone == "us-central1-c"
    assert len(launches(cloud)) == 1


def test_a_bulk_insert_takes_no_zone_that_was_not_offered(cloud, driver):
    cloud.fault("ZONE_RESOURCE_POOL_EXHAUSTED", zone="us-central1-[ab]")
    asked = request("d1-1", [o for o in offers("a2-highgpu-4g") if o.zone in ("us-central1-a", "us-central1-b")])
    with pytest.raises(Refused) as refused:
        driver.create(asked, SECRETS)
    assert {refusal.offers for refusal in refused.value.refusals} == {(offer,) for offer in asked.offers}


def test_types_that_a_bulk_insert_does_not_place_are_inserted_zone_by_zone(cloud, driver):
    catalog_ = cloud.server.cloud.catalog
    zones = [msgspec.structs.replace(o, instance_type="a3-highgpu-8g", accelerator="H100", count=8) for o in offers()]
    catalog_.types |= {(o.zone, o.instance_type): o for o in zones}
    cloud.fault("ZONE_RESOURCE_POOL_EXHAUSTED", zone="us-central1-a")
    assert driver.create(request("d1-1", zones), SECRETS).offer.zone == "us-central1-c"
    assert [call["method"] for call in launches(cloud)] == ["instances.insert"] * 2


@pytest.mark.parametrize("spot", [False, True])
def test_where_nothing_is_to_be_had_each_region_and_type_is_asked_once(cloud, driver, spot):
    recipe = load(find("mixtral-8x7b-skypilot"), {})
    ladder = [r.offer for r in plan(recipe, catalog.load(), Limits(clouds=("gcp",), spot=spot)) if r.offer.usd_per_hour]
    pairs = {(offer.region, offer.instance_type) for offer in ladder}
    assert len(pairs) == 35
    cloud.fault("ZONE_RESOURCE_POOL_EXHAUSTED")
    attempt = 0
    while ladder:
        together, attempt = batch(ladder), attempt + 1
        with pytest.raises(Refused) as refused:
            driver.create(request(f"d1-{attempt}", together), SECRETS)
        assert {o for refusal in refused.value.refusals for o in refusal.offers} == set(together)
        ladder = [offer for offer in ladder if offer not in together]
    assert len(launches(cloud)) <= len(pairs)
    assert instances(cloud) == []


ON_THE_CALL = {
    "quotaExceeded": Scope.REGION,
    "rateLimitExceeded": Scope.BACK_OFF,
    "429": Scope.BACK_OFF,
    "authError": Scope.CLOUD,
    "forbidden": Scope.CLOUD,
    "accessNotConfigured": Scope.CLOUD,
    "BILLING_DISABLED": Scope.CLOUD,
    "projectNotFound": Scope.CLOUD,
    "conditionNotMet": Scope.CLOUD,
    "imageNotFound": Scope.CLOUD,
}
IN_THE_OPERATION = {
    "ZONE_RESOURCE_POOL_EXHAUSTED": Scope.ZONE,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": Scope.ZONE,
    "QUOTA_EXCEEDED": Scope.REGION,
    "GPUS_ALL_REGIONS": Scope.GPU,
    "CPUS_ALL_REGIONS": Scope.CLOUD,
    "SSD_TOTAL_GB": Scope.REGION,
    "CONDITION_NOT_MET": Scope.REGION,
}


@pytest.mark.parametrize("asked", [one, several])
@pytest.mark.parametrize(("code", "scope"), (ON_THE_CALL | IN_THE_OPERATION).items())
def test_a_refusal_rules_out_what_it_speaks_of(cloud, driver, asked, code, scope):
    cloud.fault(code)
    with pytest.raises(Refused) as refused:
        driver.create(asked(), SECRETS)
    assert refused.value.scope is scope
    assert refused.value.refusals
    assert instances(cloud) == []


MENDS = {
    "authError": "gcloud auth application-default login",
    "forbidden": "roles/compute.instanceAdmin.v1",
    "accessNotConfigured": "gcloud services enable compute.googleapis.com --project a-project",
    "BILLING_DISABLED": "billing account",
    "projectNotFound": "Set GOOGLE_CLOUD_PROJECT",
}


@pytest.mark.parametrize(("code", "mend"), MENDS.items())
def test_what_a_person_has_to_mend_is_named_before_any_launch_call(cloud, driver, code, mend):
    cloud.fault(code)
    with pytest.raises(Refused, match=mend):
        driver.create(one(), SECRETS)
    (unlisted,) = driver.owned(INSTALLATION).unlisted
    assert unlisted.place == ""
    assert mend in unlisted.why
    assert launches(cloud) == []


@pytest.mark.parametrize(("code", "calls"), [("CPUS_ALL_REGIONS", 1), ("conditionNotMet", 1), ("imageNotFound", 1)])
def test_what_holds_for_the_whole_project_is_asked_about_once(cloud, driver, code, calls):
    cloud.fault(code)
    machine, refusals = climb(driver)
    assert machine is None
    assert (len(refusals), len(launches(cloud))) == (1, calls)


def test_a_quota_is_named_with_its_limit_and_its_place(cloud, driver):
    cloud.fault("SSD_TOTAL_GB")
    with pytest.raises(Refused, match="the quota SSD_TOTAL_GB is used up or too small: its limit is 500 in region us-"):
        driver.create(one(), SECRETS)


def test_a_project_without_a_default_network_is_told_how_to_get_one(cloud, driver):
    cloud.fault("networkNotFound")
    with pytest.raises(Refused, match="gcloud compute networks create default --project a-project"):
        driver.create(one(), SECRETS)
    assert launches(cloud) == []


def test_credentials_that_are_not_there_are_named(monkeypatch, cloud):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    driver = GcpDriver({name: value for name, value in cloud.environ.items() if name != "MIXTRAL_GCE_ENDPOINT"})
    with pytest.raises(Refused, match="GOOGLE_APPLICATION_CREDENTIALS") as refused:
        driver.create(one(), SECRETS)
    assert refused.value.scope is Scope.CLOUD
    assert not driver.status().usable


def test_a_region_that_does_not_exist_is_named_before_any_launch_call(cloud, driver):
    nowhere = msgspec.structs.replace(offers()[0], region="us-atlantis1", zone="us-atlantis1-a")
    with pytest.raises(Refused, match="us-atlantis1"):
        driver.create(request("d1-1", [nowhere]), SECRETS)
    assert launches(cloud) == []


def test_a_zone_that_does_not_exist_is_named_with_the_mend(driver):
    nowhere = msgspec.structs.replace(offers()[0], zone="us-central1-z")
    with pytest.raises(Refused, match=r"us-central1-z.*Correct the zone"):
        driver.create(request("d1-1", [nowhere]), SECRETS)


@pytest.mark.parametrize("metric", ["NVIDIA_A100_80GB_GPUS", "GPUS_ALL_REGIONS"])
def test_a_quota_that_is_too_small_is_told_without_a_launch_call_and_read_once(cloud, driver, metric):
    cloud.quota(metric, 1)
    for attempt in range(3):
        with pytest.raises(Refused, match=f"{metric} is 1 .* needs 2.*quotas") as refused:
            driver.create(several(f"d1-{attempt}"), SECRETS)
    assert refused.value.scope is (Scope.GPU if metric == "GPUS_ALL_REGIONS" else Scope.REGION)
    assert launches(cloud) == []
    assert len(cloud.calls("regions.get")) == 1


def test_spot_machines_have_quotas_of_their_own(cloud, driver):
    cloud.quota("NVIDIA_A100_80GB_GPUS", 0)
    cloud.quota("GPUS_ALL_REGIONS", 0)
    assert driver.create(request("d1-1", offers(spot=True)), SECRETS).address
    cloud.quota("PREEMPTIBLE_NVIDIA_A100_80GB_GPUS", 0)
    with pytest.raises(Refused, match="PREEMPTIBLE"):
        cloud.again().create(request("d1-2", offers(spot=True)), SECRETS)


def test_the_machine_that_uses_the_quota_up_is_found_when_it_is_asked_for_again(cloud, driver):
    cloud.quota("NVIDIA_A100_80GB_GPUS", 2)
    machine = driver.create(one(), SECRETS)
    assert cloud.again().create(one_like(machine, cloud), SECRETS) == machine
    with pytest.raises(Refused, match="2 of it in use"):
        cloud.again().create(one("d1-2"), SECRETS)


def one_like(machine, cloud):
    """The very request that made the machine."""
    (found,) = cloud.driver._named(machine.token, ANYWHERE)
    from workers.clouds.gcp.instance import request_of  # noqa: PLC0415 - this helper's business alone

    return request_of(found)


@pytest.mark.parametrize("asked", [one, several])
def test_a_launch_whose_answer_is_lost_is_found_and_made_once(cloud, driver, asked):
    wanted = asked()
    cloud.fault("lost", times=1)
    with pytest.raises(DriverError, match="no answer"):
        driver.create(wanted, SECRETS)
    found = comes(lambda: cloud.again().find(wanted.token))
    assert cloud.again().create(wanted, SECRETS) == found
    assert len(instances(cloud)) == 1


@pytest.mark.parametrize("method", ["firewalls.insert", "operations.wait", "instances.get", "regions.get"])
def test_after_any_lost_answer_the_same_request_makes_one_machine(cloud, driver, method):
    wanted = one()
    cloud.fault("lost", method=method, times=1)
    with pytest.raises(DriverError):
        driver.create(wanted, SECRETS)
    assert cloud.again().create(wanted, SECRETS).token == wanted.token
    assert len(instances(cloud)) == 1


def test_a_lost_answer_to_the_end_is_no_second_machine(cloud, driver):
    driver.create(one(), SECRETS)
    cloud.fault("lost", method="instances.delete", times=1)
    with pytest.raises(DriverError):
        driver.terminate(Token("d1-1"))
    cloud.again().terminate(Token("d1-1"))
    comes(lambda: not instances(cloud))


@pytest.mark.parametrize("code", ["429", "forbidden", "backendError"])
@pytest.mark.parametrize("method", ["operations.wait", "instances.get"])
def test_whatever_fails_after_the_launch_is_no_refusal_for_the_machine_may_be_there(cloud, driver, code, method):
    cloud.fault(code, method=method, times=1)
    with pytest.raises(DriverError) as error:
        driver.create(wanted := one(), SECRETS)
    assert not isinstance(error.value, Refused)
    assert driver.create(wanted, SECRETS).address
    assert len(launches(cloud)) == 2
    assert len(instances(cloud)) == 1


def test_a_name_that_somebody_else_s_machine_bears_is_left_alone(cloud, driver):
    driver.create(one(), SECRETS)
    instances(cloud)[0]["metadata"] = {"items": [], "fingerprint": "f"}
    cloud.server.cloud._requested.clear()
    with pytest.raises(Refused) as refused:
        cloud.again().create(one(), SECRETS)
    assert refused.value.scope is Scope.BUG
    cloud.again().terminate(Token("d1-1"))
    assert instances(cloud)[0]["status"] == "RUNNING"


def test_an_error_of_the_cloud_s_own_says_nothing_of_the_effect(cloud, driver):
    cloud.fault("backendError")
    with pytest.raises(DriverError) as error:
        driver.create(one(), SECRETS)
    assert not isinstance(error.value, Refused)


@pytest.mark.parametrize("asked", [one, several])
def test_long_after_the_launch_the_same_request_adopts_its_machine(cloud, driver, asked):
    machine = driver.create(wanted := asked(), SECRETS)
    cloud.server.cloud._requested.clear()  # GCE remembers request ids for an hour
    assert cloud.again().create(wanted, SECRETS) == machine
    assert len(instances(cloud)) == 1


@pytest.mark.parametrize("asked", [one, several])
def test_a_name_that_another_request_took_is_not_adopted(cloud, driver, asked):
    driver.create(asked(), SECRETS)
    cloud.server.cloud._requested.clear()
    with pytest.raises(Refused) as refused:
        cloud.again().create(asked(boot=boot(model="other")), SECRETS)
    assert refused.value.scope is Scope.BUG


def test_a_machine_that_is_still_being_allocated_is_waited_for(cloud, driver):
    cloud.server.cloud._allocates_in = 0
    driver.create(one(), SECRETS)
    instances(cloud)[0]["status"] = "PROVISIONING"
    started = time.monotonic()
    cloud.server.cloud._start(lambda: (time.sleep(0.7), instances(cloud)[0].update(status="RUNNING")))
    assert cloud.again().find(Token("d1-1")).address
    assert time.monotonic() - started > 0.6


@pytest.mark.parametrize(
    ("fate", "presence", "why"),
    [("preempt", Presence.PREEMPTED, "preempted by GCP"), ("delete", Presence.ENDED, "deleted")],
)
def test_a_machine_that_is_taken_away_is_seen_with_the_reason(cloud, driver, fate, presence, why):
    driver.create(one(), SECRETS)
    assert seen(driver).presence is Presence.RUNNING
    cloud.end("d1-1", fate)
    comes(lambda: not instances(cloud))
    assert (seen(driver).presence, seen(driver).why) == (presence, why)
    assert len(cloud.calls("operations.list")) == 1, "a reason is asked for once"


def test_a_machine_that_stopped_itself_is_deleted_after_a_while_for_its_disk_costs(cloud, driver):
    driver.create(one(expires_at=datetime.now(UTC) + timedelta(seconds=0.2)), SECRETS)
    comes(lambda: seen(driver).presence is Presence.ENDED)
    assert seen(driver).why == "expired"
    token = Token("d1-1")
    ended = driver._ends._seen[token]
    driver._ends._seen[token] = msgspec.structs.replace(ended, ended_at=ended.ended_at - timedelta(minutes=11))
    list(driver.owned(INSTALLATION))
    comes(lambda: not instances(cloud))


def test_a_later_expiry_survives_somebody_else_s_change(cloud, driver):
    driver.create(one(), SECRETS)
    cloud.server.cloud.instances["us-central1-a", "mixtral-d1-1"]["metadata"]["items"].append(
        {"key": "a", "value": "b"}
    )
    later = datetime.now(UTC) + timedelta(days=2)
    driver.extend(Token("d1-1"), later)
    told = {item["key"]: item["value"] for item in instances(cloud)[0]["metadata"]["items"]}
    assert later.timestamp() <= int(told["mixtral-expiry"]) <= later.timestamp() + 1
    assert told["a"] == "b"
    assert told["startup-script"]


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"MIXTRAL_ALLOW_CIDRS": ""}, "MIXTRAL_ALLOW_CIDRS is not set"),
        ({"MIXTRAL_ALLOW_CIDRS": "everyone"}, '"everyone"'),
        ({"MIXTRAL_ALLOW_CIDRS": "2001:db8::/32"}, "no IPv4"),
        ({"GOOGLE_CLOUD_PROJECT": ""}, "no project"),
        ({"MIXTRAL_CLOUDS": "aws"}, "MIXTRAL_CLOUDS"),
    ],
)
def test_what_is_missing_is_told_with_the_mend_and_without_a_call(cloud, environ, reason):
    status = GcpDriver(cloud.environ | environ).status()
    assert not status.usable
    assert reason in status.reason
    assert status.mend
    assert cloud.calls() == []


def test_an_image_of_another_cloud_is_refused_and_a_container_s_is_not_gce_s_business(cloud, driver):
    with pytest.raises(Refused, match="ami-123"):
        driver.create(one(boot=boot(image="ami-123")), SECRETS)
    driver.create(one("d1-2", boot=boot(image="docker:vllm/vllm-openai:v0.10.0")), SECRETS)
    driver.create(one("d1-3", boot=boot(image="projects/p/global/images/mine")), SECRETS)
    images = [made["disks"][0]["initializeParams"]["sourceImage"] for made in instances(cloud)]
    assert [image.rsplit("/", 1)[-1] for image in images] == [
        "common-cu129-ubuntu-2204-nvidia-580-v20261101",
        "mine",
    ]


def test_an_image_family_that_is_gone_is_a_misconfiguration_that_is_said_once_and_nothing_is_bought(cloud, driver):
    cloud.fault("imageNotFound", method="images.getFromFamily")
    with pytest.raises(Refused) as caught:
        driver.create(several(), SECRETS)
    assert caught.value.scope is Scope.CLOUD
    assert "the machine image does not exist" in str(caught.value)
    assert "Correct or remove the recipe's image_id, or update mixtral-bot" in str(caught.value)
    assert launches(cloud) == []


def test_a_disk_is_never_smaller_than_the_image(cloud, driver):
    driver.create(one(boot=boot(disk_gib=20)), SECRETS)
    (made,) = instances(cloud)
    assert made["disks"][0]["initializeParams"]["diskSizeGb"] == "50"


def test_a_cheap_disk_is_one_that_the_machine_type_takes(cloud, driver):
    driver.create(request("d1-1", offers("g2-standard-48")[:1], boot=boot(disk_tier="low")), SECRETS)
    (made,) = instances(cloud)
    assert made["disks"][0]["initializeParams"]["diskType"].endswith("/pd-balanced")
