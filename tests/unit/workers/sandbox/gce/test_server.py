"""The stand-in on the wire, as a client without any SDK sees it."""

import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.builders.machines import SECRETS, boot, request
from tests.fakes.machines import FakeMachines
from tests.patience import PATIENCE
from workers.clouds.gcp.driver import GcpDriver
from workers.placement import catalog
from workers.sandbox.gce.server import Server
from workers.sandbox.valkey import free_port

ZONE = "us-central1-a"


@pytest.fixture
def machines():
    return FakeMachines()


@pytest.fixture
def server(machines):
    server = Server(0, machines)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def gce(server):
    with httpx.Client(base_url=f"{server.url}/compute/v1/projects/p", timeout=5 * PATIENCE) as client:
        yield client


@pytest.fixture
def sandbox(server):
    with httpx.Client(base_url=f"{server.url}/sandbox", timeout=5 * PATIENCE) as client:
        yield client


def body(name="m", type_="a2-highgpu-1g", **more):
    nic = {"network": "global/networks/default", "accessConfigs": [{"type": "ONE_TO_ONE_NAT"}]}
    script = {"items": [{"key": "startup-script", "value": "#!/bin/bash"}]}
    made = {"name": name, "machineType": f"zones/{ZONE}/machineTypes/{type_}", "networkInterfaces": [nic]}
    return made | {"metadata": script} | more


def insert(gce, *, request_id="", zone=ZONE, **changes):
    params = {"requestId": request_id} if request_id else {}
    return gce.post(f"/zones/{zone}/instances", json=body(**changes), params=params)


def done(gce, answer):
    operation = answer.json()
    place = operation["selfLink"].partition("/projects/p")[2]
    return gce.post(f"{place}/wait").json()


def made(gce, **changes):
    assert "error" not in done(gce, insert(gce, **changes))
    return gce.get(f"/zones/{ZONE}/instances/{changes.get('name', 'm')}").json()


def comes(holds, seconds=5):
    deadline = time.monotonic() + seconds * PATIENCE
    while not (answer := holds()):
        assert time.monotonic() < deadline, "did not come"
        time.sleep(0.02)
    return answer


def reason(answer):
    error = answer.json()["error"]
    return error["code"], error["errors"][0]["reason"]


def test_an_inserted_instance_boots_its_startup_script_and_has_the_machine_s_address(gce, machines):
    found = made(gce)
    assert found["status"] == "RUNNING"
    assert found["networkInterfaces"][0]["accessConfigs"][0]["natIP"] == "127.0.1.1"
    assert list(machines.booted.values()) == ["#!/bin/bash"]
    assert gce.get(f"/zones/{ZONE}/instances/m/serialPort").json()["contents"] == "the machine is up\n"


def test_the_same_request_id_is_the_same_operation_also_after_the_instance_is_gone(gce):
    first = done(gce, insert(gce, request_id="r"))["name"]
    assert insert(gce, request_id="r").json()["name"] == first
    done(gce, gce.delete(f"/zones/{ZONE}/instances/m"))
    again = insert(gce, request_id="r").json()
    assert (again["name"], again["status"]) == (first, "DONE")
    assert gce.get(f"/zones/{ZONE}/instances/m").status_code == 404


def test_a_name_that_is_taken_in_the_zone_is_a_conflict(gce):
    made(gce)
    assert reason(insert(gce)) == (409, "alreadyExists")


def test_what_is_not_sold_is_refused(gce):
    assert reason(insert(gce, type_="a2-nothing-1g")) == (400, "invalid")
    assert reason(insert(gce, zone="us-central1-z")) == (400, "invalid")
    assert gce.get("/regions/nowhere1").status_code == 404


def bulk(gce, *zones, name="m"):
    shape = {"targetShape": "ANY_SINGLE_ZONE", "zones": [{"zone": f"zones/{zone}"} for zone in zones]}
    properties = body() | {"machineType": "a2-highgpu-1g"}
    asked = {"count": 1, "instanceProperties": properties, "perInstanceProperties": {name: {}}, "locationPolicy": shape}
    return gce.post("/regions/us-central1/instances/bulkInsert", json=asked)


def test_a_bulk_insert_makes_one_instance_in_a_zone_with_room(gce, sandbox):
    sandbox.post("/faults", json={"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "zone": ZONE})
    assert "error" not in done(gce, bulk(gce, ZONE, "us-central1-c"))
    listed = gce.get("/aggregated/instances").json()["items"]
    assert [place for place, held in listed.items() if "instances" in held] == ["zones/us-central1-c"]


def test_a_bulk_insert_without_room_says_so_of_each_zone(gce, sandbox):
    sandbox.post("/faults", json={"code": "ZONE_RESOURCE_POOL_EXHAUSTED"})
    errors = done(gce, bulk(gce, ZONE, "us-central1-c"))["error"]["errors"]
    exhausted = "ZONE_RESOURCE_POOL_EXHAUSTED"
    assert [error["code"] for error in errors] == ["VM_MIN_COUNT_NOT_REACHED", exhausted, exhausted]
    assert "us-central1-c" in errors[2]["message"]


def test_faults_hit_their_type_zone_and_lifecycle_and_only_as_often_as_they_shall(gce, sandbox):
    fault = {"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "machine_type": "a2-highgpu-*", "lifecycle": "spot", "times": 1}
    sandbox.post("/faults", json=fault)
    spot = {"scheduling": {"provisioningModel": "SPOT"}}
    assert "error" not in done(gce, insert(gce, name="a"))
    assert "error" not in done(gce, insert(gce, name="b", type_="a2-ultragpu-1g", **spot))
    assert "error" in done(gce, insert(gce, name="c", **spot))
    assert "error" not in done(gce, insert(gce, name="d", **spot))


def test_faults_are_cleared(gce, sandbox):
    sandbox.post("/faults", json={"code": "authError"})
    assert reason(gce.get("/zones")) == (401, "authError")
    sandbox.delete("/faults")
    assert gce.get("/zones").status_code == 200


def test_a_fault_that_is_none_is_refused(sandbox):
    assert sandbox.post("/faults", json={"cod": "authError"}).status_code == 400


def test_a_lost_answer_has_its_effect(gce, sandbox):
    sandbox.post("/faults", json={"code": "lost", "times": 1})
    with pytest.raises(httpx.RemoteProtocolError):
        insert(gce)
    assert comes(lambda: gce.get(f"/zones/{ZONE}/instances/m").status_code == 200)


def test_a_slow_call_is_slow(gce, sandbox):
    sandbox.post("/faults", json={"code": "slow", "seconds": 0.3, "times": 1})
    started = time.monotonic()
    insert(gce)
    assert time.monotonic() - started > 0.3


def test_calls_are_counted(gce, sandbox):
    made(gce)
    seen = [call["method"] for call in sandbox.get("/calls").json()["calls"]]
    assert seen == ["instances.insert", "operations.wait", "instances.get"]
    sandbox.delete("/calls")
    assert sandbox.get("/calls").json()["calls"] == []


def test_quotas_are_told_counted_and_kept(gce, sandbox):
    sandbox.post("/quotas", json={"region": "us-central1", "metric": "NVIDIA_A100_GPUS", "limit": 1})
    made(gce)
    told = {quota["metric"]: quota for quota in gce.get("/regions/us-central1").json()["quotas"]}
    assert told["NVIDIA_A100_GPUS"] == {"metric": "NVIDIA_A100_GPUS", "limit": 1, "usage": 1}
    (error,) = done(gce, insert(gce, name="n"))["error"]["errors"]
    assert error["code"] == "QUOTA_EXCEEDED"
    assert gce.get(str(gce.base_url).rstrip("/")).json()["quotas"][0]["usage"] == 1


def test_a_preempted_instance_is_gone_and_its_zone_tells_why(gce, sandbox):
    found = made(gce)
    sandbox.post("/instances/m/preempt")
    comes(lambda: gce.get(f"/zones/{ZONE}/instances/m").status_code == 404)
    listed = gce.get(f"/zones/{ZONE}/operations", params={"filter": f"targetId = {found['id']}"}).json()["items"]
    assert [operation["operationType"] for operation in listed] == ["insert", "compute.instances.preempted"]


def test_an_instance_may_be_preempted_by_a_fault(gce, sandbox):
    sandbox.post("/faults", json={"code": "preempted", "seconds": 0.1})
    made(gce)
    comes(lambda: gce.get(f"/zones/{ZONE}/instances/m").status_code == 404)


def test_an_instance_ends_with_its_machine(gce, machines):
    made(gce)
    machines.living.clear()
    comes(lambda: gce.get(f"/zones/{ZONE}/instances/m").json()["status"] == "TERMINATED")


def test_an_instance_that_outlives_its_longest_run_is_deleted(gce, machines):
    made(gce, scheduling={"maxRunDuration": {"seconds": "0"}})
    comes(lambda: gce.get(f"/zones/{ZONE}/instances/m").status_code == 404)
    assert machines.living == set()


def test_metadata_and_labels_change_with_the_fingerprint_that_was_read(gce):
    found = made(gce)
    metadata = {"fingerprint": found["metadata"]["fingerprint"], "items": [{"key": "a", "value": "b"}]}
    done(gce, gce.post(f"/zones/{ZONE}/instances/m/setMetadata", json=metadata))
    stale = gce.post(f"/zones/{ZONE}/instances/m/setMetadata", json=metadata)
    assert reason(stale) == (412, "conditionNotMet")
    labels = {"labelFingerprint": found["labelFingerprint"], "labels": {"k": "v"}}
    done(gce, gce.post(f"/zones/{ZONE}/instances/m/setLabels", json=labels))
    listed = gce.get(f"/zones/{ZONE}/instances", params={"filter": 'labels.k = "v"'}).json()["items"]
    assert [one["metadata"]["items"] for one in listed] == [[{"key": "a", "value": "b"}]]


def test_a_filter_that_it_does_not_know_is_refused_rather_than_ignored(gce):
    assert reason(gce.get("/aggregated/instances", params={"filter": "name = a OR name = b"})) == (400, "invalid")


def test_firewall_rules_are_made_once_changed_and_listed(gce):
    rule = {"name": "r", "sourceRanges": ["10.0.0.0/8"]}
    done(gce, gce.post("/global/firewalls", json=rule))
    assert reason(gce.post("/global/firewalls", json=rule)) == (409, "alreadyExists")
    done(gce, gce.patch("/global/firewalls/r", json={"sourceRanges": ["10.1.0.0/16"]}))
    assert gce.get("/global/firewalls").json()["items"] == [{"name": "r", "sourceRanges": ["10.1.0.0/16"]}]


def test_zones_types_and_images_are_those_of_the_price_table(gce):
    assert ZONE in [zone["name"] for zone in gce.get("/zones").json()["items"]]
    described = gce.get(f"/zones/{ZONE}/machineTypes/a2-highgpu-4g").json()
    assert (described["guestCpus"], described["accelerators"][0]["guestAcceleratorCount"]) == (48, 4)
    assert gce.get("/global/images/family/common-cu128").json()["status"] == "READY"


def test_what_it_does_not_have_is_said(gce):
    assert gce.get("/global/snapshots").status_code == 404


@pytest.fixture
def process(tmp_path):
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "workers.sandbox.gce.server",
        "--port",
        str(port),
        "--folder",
        str(tmp_path / "machines"),
    ]
    scripted = os.environ | {"MIXTRAL_SANDBOX_ENGINE": "scripted"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=scripted, text=True) as process:
        try:
            assert str(port) in process.stdout.readline()
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def test_as_a_process_it_boots_engines_that_answer_and_takes_them_along(process):
    running, url = process
    driver = GcpDriver({"GOOGLE_CLOUD_PROJECT": "p", "MIXTRAL_GCE_ENDPOINT": url, "MIXTRAL_ALLOW_CIDRS": "127.0.0.0/8"})
    offer = next(o for o in catalog.load() if o.zone == ZONE and o.instance_type == "a2-highgpu-1g")
    machine = driver.create(request("d1-1", [offer], boot=boot(kind="vllm", port=free_port())), SECRETS)
    comes(lambda: answers(machine.address), seconds=20)
    driver.terminate(machine.token)
    comes(lambda: not answers(machine.address))
    other = driver.create(request("d1-2", [offer], boot=boot(kind="vllm", port=free_port())), SECRETS)
    comes(lambda: answers(other.address), seconds=20)
    running.terminate()
    assert running.wait(10 * PATIENCE) == 0
    comes(lambda: not answers(other.address))  # an engine is killed with its parent, and ends a moment later


def answers(address):
    try:
        return httpx.get(f"{address}/health", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def test_a_stand_in_on_a_clock_of_its_own_stamps_with_it_and_pulls_the_deadman_by_it(machines):
    told = [datetime(2031, 5, 1, 12, tzinfo=UTC)]
    server = Server(0, machines, clock=lambda: told[0])
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    with httpx.Client(base_url=f"{server.url}/compute/v1/projects/p") as gce:
        expires_at = told[0] + timedelta(hours=2)
        script = {"items": [{"key": "mixtral-expiry", "value": f"{expires_at.timestamp():.0f}"}]}
        assert done(gce, insert(gce, metadata=script))["insertTime"].startswith("2031-05-01T12:00:00")
        found = gce.get(f"/zones/{ZONE}/instances/m").json()
        assert found["creationTimestamp"].startswith("2031-05-01T12:00:00")
        assert found["status"] == "RUNNING"
        told[0] += timedelta(hours=3)
        until = time.monotonic() + 10 * PATIENCE
        while found["status"] == "RUNNING" and time.monotonic() < until:
            found = gce.get(f"/zones/{ZONE}/instances/m").json()
        assert found["status"] == "TERMINATED"
    server.shutdown()
    server.server_close()
