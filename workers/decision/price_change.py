"""PURE: whether a running spot machine has another price than the ledger says."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from workers.deployment.ledger import MachineRepriced, Use
from workers.placement.doubts import Row, spot


def repriced(
    uses: Iterable[Use], rows: Mapping[tuple[str, str, str], Row], read_at: datetime
) -> Iterator[MachineRepriced]:
    """The entries for running spot machines whose price has changed. `rows`: by `Row.key`, as read at `read_at`.

    A price that is unknown, doubtful, of another day, or read before the machine's last price changes nothing.
    """
    for use in uses:
        booked = use.booked
        row = rows.get((booked.cloud, booked.zone, booked.instance_type))
        if use.ended is not None or not booked.spot or row is None or not _is_sound(row, read_at):
            continue
        since = use.repriced[-1].at if use.repriced else booked.began
        if row.spot is None or row.spot == use.usd_per_hour or read_at.astimezone(UTC) <= since.astimezone(UTC):
            continue
        yield MachineRepriced(deployment=booked.deployment, attempt=booked.attempt, usd_per_hour=row.spot, at=read_at)


def _is_sound(row: Row, read_at: datetime) -> bool:
    """Whether the spot price was read that day, by `Row.spot_read_on`, and may be right."""
    if row.spot is None or row.spot <= 0 or row.spot_read_on != read_at.astimezone(UTC).date().isoformat():
        return False
    return spot(row).doubtful is None
