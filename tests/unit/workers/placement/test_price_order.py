"""The order of the ladder, against another computation over the price table, by csv and sorted alone."""

import csv
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from recipes.loader import load
from workers.placement import catalog
from workers.placement.limits import Limits
from workers.placement.offer import CloudStatus
from workers.placement.planner import plan

TABLE = Path(__file__).parents[4] / "workers" / "placement" / "offers.csv"
USABLE = {cloud: CloudStatus(cloud=cloud, usable=True) for cloud in ("aws", "gcp")}
MIXTRAL = "A100:4 A100:8 A100-80GB:2 A100-80GB:4 A100-80GB:8"
CENT_OF_A_CENT = Decimal("0.0001")


def ask(sentence, resources, *alternatives, fallback=False, ordered=False, **limits):
    """A request as its YAML and limits, and as the alternatives that it means: gpus, and patterns of places."""
    service = "\nservice: {readiness_probe: /, replica_policy: {min_replicas: 1, dynamic_ondemand_fallback: true}}"
    text = f"resources: {resources}{service if fallback else ''}\nrun: serve\n"
    meant = [{"gpus": MIXTRAL, "spot": bool(limits.get("spot"))} | one for one in alternatives or [{}]]
    return pytest.param(text, limits, meant, {"fallback": fallback, "ordered": ordered}, id=sentence)


FIVE = "{A100:4, A100:8, A100-80GB:2, A100-80GB:4, A100-80GB:8}"

REQUESTS = [
    ask("Mixtral's five", f"{{accelerators: {FIVE}, ports: 8000}}"),
    ask("Mixtral's five as spot", f"{{accelerators: {FIVE}}}", spot=True),
    ask("the recipe's own use_spot", f"{{accelerators: {FIVE}, use_spot: true}}", {"spot": True}),
    ask("spot with on demand after it", f"{{accelerators: {FIVE}}}", spot=True, fallback=True),
    ask("a fallback that is not needed", f"{{accelerators: {FIVE}}}", fallback=True),
    ask("one A100", "{accelerators: A100:1}", {"gpus": "A100:1"}),
    ask("one A100 by name alone", "{accelerators: A100}", {"gpus": "A100:1"}),
    ask("two A100 as spot", "{accelerators: A100:2}", {"gpus": "A100:2"}, spot=True),
    ask("eight A100 on both clouds", "{accelerators: A100:8}", {"gpus": "A100:8"}),
    ask("eight A100 of 80 GB as spot", "{accelerators: A100-80GB:8}", {"gpus": "A100-80GB:8"}, spot=True),
    ask("one H100", "{accelerators: H100:1}", {"gpus": "H100:1"}),
    ask("eight H100 as spot", "{accelerators: H100:8}", {"gpus": "H100:8"}, spot=True),
    ask("eight H200", "{accelerators: H200:8}", {"gpus": "H200:8"}),
    ask("H100 or H200 as spot", "{accelerators: {H100:8, H200:8}}", {"gpus": "H100:8 H200:8"}, spot=True),
    ask("any of the table's GPUs alone", "{accelerators: [A100-80GB:1, A100:1, H100:1]}",
        {"gpus": "A100-80GB:1"}, {"gpus": "A100:1"}, {"gpus": "H100:1"}, ordered=True),
    ask("on AWS alone", f"{{accelerators: {FIVE}, cloud: aws}}", {"cloud": "aws"}),
    ask("on GCP alone by infra", f"{{accelerators: {FIVE}, infra: gcp}}", {"cloud": "gcp"}),
    ask("in one region", f"{{accelerators: {FIVE}, infra: gcp/us-central1}}",
        {"cloud": "gcp", "region": "us-central1"}),
    ask("in one zone", f"{{accelerators: {FIVE}, infra: gcp/us-central1/us-central1-c}}",
        {"cloud": "gcp", "zone": "us-central1-c"}),
    ask("in one zone of AWS as spot", f"{{accelerators: {FIVE}, infra: aws/us-east-1/use1-az2}}",
        {"cloud": "aws", "zone": "use1-az2"}, spot=True),
    ask("in a region without its cloud", f"{{accelerators: {FIVE}, region: us-west-2}}", {"region": "us-west-2"}),
    ask("in any region of a cloud's named zone", f"{{accelerators: {FIVE}, infra: gcp/*/europe-west4-a}}",
        {"cloud": "gcp", "zone": "europe-west4-a"}),
    ask("any of two places",
        f"{{accelerators: {FIVE}, any_of: [{{infra: aws/us-east-1}}, {{infra: gcp/europe-west4}}]}}",
        {"cloud": "aws", "region": "us-east-1"}, {"cloud": "gcp", "region": "europe-west4"}),
    ask("ordered places, the dearer first",
        f"{{accelerators: {FIVE}, ordered: [{{infra: aws}}, {{infra: gcp/europe-west4}}, {{infra: gcp}}]}}",
        {"cloud": "aws"}, {"cloud": "gcp", "region": "europe-west4"}, {"cloud": "gcp"}, ordered=True),
    ask("ordered lifecycles", "{accelerators: A100:8, ordered: [{use_spot: true}, {use_spot: false}]}",
        {"gpus": "A100:8", "spot": True}, {"gpus": "A100:8"}, ordered=True),
    ask("any of GPUs with places of their own",
        "{any_of: [{accelerators: H100:8, cloud: aws}, {accelerators: A100-80GB:4, infra: gcp/us-east4}]}",
        {"gpus": "H100:8", "cloud": "aws"}, {"gpus": "A100-80GB:4", "region": "us-east4"}),
    ask("the person's own GPUs", f"{{accelerators: {FIVE}}}", {"gpus": "A100:8 A100-80GB:2"},
        gpus=("A100:8", "A100-80GB:2")),
    ask("the person's own cloud, as spot", f"{{accelerators: {FIVE}}}", {"cloud": "aws"}, clouds=("aws",), spot=True),
    ask("at most 12 USD an hour", f"{{accelerators: {FIVE}}}", {"most": "12"}, max_price=Decimal(12)),
    ask("at most 4 USD an hour as spot", f"{{accelerators: {FIVE}}}", {"most": "4"}, max_price=Decimal(4), spot=True),
    ask("the recipe's own max_hourly_cost", f"{{accelerators: {FIVE}, max_hourly_cost: 20}}", {"most": "20"}),
    ask("one machine type by name", "{instance_type: a2-highgpu-8g}", {"gpus": "A100:8", "type": "a2-highgpu-8g"}),
    ask("at least 96 vCPUs", f"{{accelerators: {FIVE}, cpus: 96+}}", {"vcpus": 96}),
    ask("at least 700 GiB as spot", f"{{accelerators: {FIVE}, memory: 700+}}", {"memory": 700}, spot=True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "limits", "meant", "order"), REQUESTS)
def test_the_ladder_is_what_the_table_says_by_another_computation(tmp_path, text, limits, meant, order):
    (tmp_path / "it.yaml").write_text(text)
    rungs = plan(load(tmp_path / "it.yaml", {}), catalog.load(), Limits(**limits), statuses=USABLE)
    priced = [rung.offer for rung in rungs if rung.usable]
    found = [(o.cloud, o.region, o.zone, o.instance_type, o.spot, o.usd_per_hour) for o in priced]
    assert found == expected(meant, **order)
    assert found
    if not any(order.values()):
        assert [rung.usable for rung in rungs] == sorted((rung.usable for rung in rungs), reverse=True)


def test_there_are_at_least_30_different_requests():
    assert len({(p.values[0], repr(p.values[1])) for p in REQUESTS}) == len(REQUESTS) >= 30


def expected(alternatives, *, fallback, ordered):
    """What the table has for the alternatives, in the order in which it is to be tried."""
    with TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    placed = {}
    for row in rows:
        for spot in (False, True):
            price, doubtful = told(row, spot=spot)
            if price is None:
                continue
            what = (row["cloud"], row["region"], row["zone"], row["instance_type"], spot, price)
            for number, one in enumerate(alternatives):
                backup = fallback and one["spot"] and not spot
                if fits(row, price, one) and (spot == one["spot"] or backup):
                    choice = (1 if backup else 2 * doubtful) if fallback and one["spot"] else 0
                    place = number if ordered else 0
                    rank = (choice, place, doubtful, price, *what[:4], row["accelerator"], spot)
                    placed[what] = min(rank, placed.get(what, rank))
    return sorted(placed, key=placed.get)


def told(row, *, spot):
    """The price to reckon with, and whether it is doubtful: then it is the higher of the two."""
    on_demand = Decimal(row["on_demand_usd_h"]) if row["on_demand_usd_h"] else None
    lower = Decimal(row["spot_usd_h"]) if row["spot_usd_h"] else None
    known = [price for price in (on_demand, lower) if price is not None]
    if not spot:
        wrong = len(known) == 2 and on_demand < lower - CENT_OF_A_CENT
        return (lower, True) if wrong else (on_demand, False)
    sound = len(known) == 2 and lower < on_demand - CENT_OF_A_CENT
    return (lower, False) if sound else (max(known, default=None), True)


def fits(row, price, one):
    return (
        f"{row['accelerator']}:{row['count']}" in one["gpus"].split()
        and all(fnmatchcase(row[key], one.get(key, "*")) for key in ("cloud", "region", "zone"))
        and fnmatchcase(row["instance_type"], one.get("type", "*"))
        and price <= Decimal(one.get("most", "1e9"))
        and int(row["vcpus"]) >= one.get("vcpus", 0)
        and Decimal(row["memory_gib"]) >= one.get("memory", 0)
    )
