"""`mixtral-bot machines`: every machine of this installation, what it has cost, and who wants it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TextIO

from rich.console import Console
from rich.table import Table

from workers.clouds.driver import Presence, Sighting
from workers.deployment.events import DeploymentId
from workers.deployment.state import MAY_COST, Deployment
from workers.run import connect, drivers_of, wire_requests
from workers.settings import from_environ


def run(environ: Mapping[str, str], out: TextIO) -> int:
    """Print the list; raises SettingsError, DriverError."""
    settings = from_environ(environ)
    requests = wire_requests(settings, connect(settings.redis_url))
    now = datetime.now(UTC)
    table = Table("machine", "cloud", "place", "USD/h", "cost so far", "age", "wanted by", box=None)
    for driver in drivers_of(settings).values():
        for sighting in driver.owned(settings.installation):
            if sighting.presence is Presence.RUNNING:
                state = requests.by_id(DeploymentId(sighting.deployment))
                table.add_row(*_row(sighting, state, now))
    console = Console(file=out, highlight=False)
    if table.row_count:
        console.print(table)
    else:
        console.print(f"No machine of installation {settings.installation} is running.")
    return 0


def _row(sighting: Sighting, state: Deployment | None, now: datetime) -> tuple[str, ...]:
    machine = sighting.machine
    age = now - machine.created_at
    price = machine.offer.usd_per_hour
    cost = "unknown" if price is None else f"{price * Decimal(age.total_seconds()) / 3600:.2f} USD"
    return (
        machine.id,
        machine.cloud,
        machine.offer.zone,
        "unknown" if price is None else f"{price:.2f}",
        cost,
        f"{age.total_seconds() / 60:.0f} min",
        _wanted_by(sighting, state),
    )


def _wanted_by(sighting: Sighting, state: Deployment | None) -> str:
    if state is None:
        return "nobody known: the log of its deployment is gone"
    attempt = next((a for a in state.attempts if a.request.token == sighting.machine.token), None)
    if attempt is None:
        return f"nobody: {state.name} never asked for it"
    return state.name if attempt.phase in MAY_COST else f"nobody: {state.name} has ended it"
