"""Only a sound spot price that was read after the machine began changes what it costs."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from workers.decision.price_change import repriced
from workers.deployment.events import DeploymentId
from workers.deployment.ledger import MachineBooked, MachineRepriced, Use
from workers.placement import catalog

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SHIPPED = next(row for row in catalog.shipped() if row.spot and row.on_demand and row.spot < row.on_demand / 2)
NEW = SHIPPED.spot + Decimal("0.05")
ROW = replace(SHIPPED, spot=NEW, spot_read_on="2026-11-29")
BOOKED = MachineBooked(
    deployment=DeploymentId("d-1"),
    attempt=2,
    machine="m-1",
    cloud=ROW.cloud,
    region=ROW.region,
    zone=ROW.zone,
    instance_type=ROW.instance_type,
    spot=True,
    usd_per_hour=SHIPPED.spot,
    on_demand_usd_per_hour=SHIPPED.on_demand,
    began=NOW - HOUR,
)
USE = Use(booked=BOOKED, owner=None)
ENTRY = MachineRepriced(deployment=BOOKED.deployment, attempt=2, usd_per_hour=NEW, at=NOW)


def decided(use=USE, row=ROW, read_at=NOW):
    return list(repriced([use], {row.key: row}, read_at))


def test_a_new_price_is_booked_once():
    assert decided() == [ENTRY]
    known = replace(USE, repriced=(ENTRY,))
    assert decided(known) == []
    assert decided(known, replace(ROW, spot=NEW * 2)) == []
    later = NOW + HOUR
    assert decided(known, replace(ROW, spot=SHIPPED.spot), later) == [
        replace(ENTRY, usd_per_hour=SHIPPED.spot, at=later)
    ]


@pytest.mark.parametrize(
    ("use", "row", "read_at"),
    [
        pytest.param(replace(USE, booked=replace(BOOKED, spot=False)), ROW, NOW, id="on demand"),
        pytest.param(replace(USE, booked=replace(BOOKED, cloud="local")), ROW, NOW, id="local"),
        pytest.param(replace(USE, ended=NOW), ROW, NOW, id="ended"),
        pytest.param(USE, replace(ROW, zone="elsewhere"), NOW, id="another zone"),
        pytest.param(USE, replace(ROW, spot=None), NOW, id="unknown"),
        pytest.param(USE, replace(ROW, spot=None, no_spot=True), NOW, id="not sold"),
        pytest.param(USE, replace(ROW, spot=Decimal(0)), NOW, id="free"),
        pytest.param(USE, replace(ROW, spot=ROW.on_demand * 2), NOW, id="above on demand"),
        pytest.param(USE, replace(ROW, spot=ROW.on_demand), NOW, id="as on demand"),
        pytest.param(USE, replace(ROW, spot_read_on="2026-11"), NOW, id="of another day"),
        pytest.param(USE, ROW, NOW - HOUR, id="read when the machine began"),
        pytest.param(USE, ROW, NOW - 2 * HOUR, id="read before the machine began"),
    ],
)
def test_nothing_else_changes_the_price(use, row, read_at):
    assert decided(use, row, read_at) == []
