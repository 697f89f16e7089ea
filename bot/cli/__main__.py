"""The command line. Each command imports its modules when it runs, so that `--help` and `plan` are fast."""

import atexit
import os
import sys
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import click

from workers.errors import WorkersError


class Commands(click.Group):
    """Prints the sentence of a WorkersError, and ends with status 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except WorkersError as error:
            click.echo(f"mixtral-bot: {error}", err=True)
            sys.exit(2)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mixtral-bot")
def main() -> None:
    """Launch, ask, scale and end open models on rented GPUs from a Slack channel."""
    import warnings

    # requests warns at its import if PySocks is not installed; SOCKS is not used here.
    warnings.filterwarnings("ignore", message="SOCKS support in urllib3")


@main.command()
@click.option("--port", default=7777, show_default=True, help="Port of the page; another one if it is in use.")
def demo(port: int) -> None:
    """Start a sandbox on this machine: stand-ins for Slack (in the browser), AWS and GCP, and the whole product."""
    from bot.sandbox.demo import run

    sys.exit(run(port, os.environ))


@main.command()
def run() -> None:
    """Run the bot in the foreground until SIGTERM."""
    _log_to_stderr()
    from bot.run import main as run_bot

    status = run_bot(os.environ)
    # Daemon threads still run. A library that one of them calls may crash while the interpreter is finalized.
    atexit.register(os._exit, status)
    sys.exit(status)


@main.command()
def worker() -> None:
    """Run the workers and the sweeper in the foreground until SIGTERM."""
    _log_to_stderr()
    from workers.run import main as run_workers

    run_workers(os.environ)


@main.command()
def gateway() -> None:
    """Run the gateway, the one address of all deployments, in the foreground until SIGTERM."""
    _log_to_stderr()
    from workers.gateway.run import main as run_gateway

    run_gateway(os.environ)


@main.command()
@click.argument("recipe", metavar="RECIPE-OR-FILE")
@click.option("--spot", is_flag=True, help="Spot machines: cheaper, but the cloud may preempt them.")
@click.option("--gpus", default="", help="Only these of the recipe's GPUs: A100-80GB:2,A100:8.")
@click.option("--clouds", default="", help="Only these clouds: aws,gcp,local.")
@click.option("--max-price", type=float, help="Maximum price of one machine, in USD per hour.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, cheapest first.")
def plan(recipe: str, spot: bool, gpus: str, clouds: str, max_price: float | None, as_json: bool) -> None:
    """Show the ladder of a recipe: all suitable machines, cheapest first. Calls no cloud and changes nothing."""
    from bot.cli.plan_command import run as run_plan
    from workers.placement.limits import Limits

    status = run_plan(
        recipe,
        limits=Limits(
            spot=spot,
            gpus=_words(gpus),
            clouds=_words(clouds),
            max_price=None if max_price is None else Decimal(str(max_price)),
        ),
        as_json=as_json,
        environ=os.environ,
        out=sys.stdout,
        err=sys.stderr,
    )
    sys.exit(status)


@main.command()
@click.option("--end-orphans", is_flag=True, help="End machines that belong to no deployment, after confirmation.")
@click.option("--yes", is_flag=True, help="With --end-orphans: do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def machines(end_orphans: bool, yes: bool, as_json: bool) -> None:
    """List every machine of this installation, with its cost so far and its deployment."""
    if yes and not end_orphans:
        raise click.UsageError("--yes requires --end-orphans.")
    _log_nothing()
    from bot.cli.machines_command import run as run_machines

    status = run_machines(
        os.environ,
        out=sys.stdout,
        err=sys.stderr,
        end_orphans=end_orphans,
        confirm=(lambda _: True) if yes else partial(click.confirm, err=True),
        as_json=as_json,
    )
    sys.exit(status)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def status(as_json: bool) -> None:
    """List the deployments that have not ended, without Slack."""
    from bot.cli import operate_command

    _operate("status", operate_command.status(as_json=as_json))


@main.command()
@click.argument("name")
@click.argument("replicas", type=click.IntRange(min=0))
def scale(name: str, replicas: int) -> None:
    """Set the number of replicas of a deployment, without Slack. It needs no more than access to Redis."""
    from bot.cli import operate_command

    _operate("scale", operate_command.scale(name, replicas))


@main.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def down(name: str, yes: bool) -> None:
    """End a deployment with all its machines, without Slack. It needs no more than access to Redis."""
    from bot.cli import operate_command

    _operate("down", operate_command.down(name, (lambda _: True) if yes else partial(click.confirm, err=True)))


@main.command()
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only the cost from this day on (UTC).")
@click.option("--csv", "as_csv", is_flag=True, help="Print each machine as a line of CSV.")
def ledger(since: datetime | None, as_csv: bool) -> None:
    """Show the cost of the machines by deployment, including ended deployments."""
    _log_nothing()
    from bot.cli.ledger_command import run as run_ledger

    begin = since.replace(tzinfo=UTC) if since else None
    sys.exit(run_ledger(os.environ, out=sys.stdout, err=sys.stderr, since=begin, as_csv=as_csv))


@main.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--with-keys", is_flag=True, help="Also the keys of the endpoints: the file is then a secret.")
def export_(file: Path, with_keys: bool) -> None:
    """Write what a new Redis needs to carry on into a new file that only this user can read."""
    _log_nothing()
    from bot.cli.transfer_command import export

    sys.exit(export(os.environ, file, sys.stdout, sys.stderr, with_keys=with_keys))


@main.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_(file: Path) -> None:
    """Read an export into an empty Redis, before the bot, the workers and the gateway are started on it."""
    _log_nothing()
    from bot.cli.transfer_command import import_from

    sys.exit(import_from(os.environ, file, sys.stdout, sys.stderr))


@main.command()
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only the entries from this day on (UTC).")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Only the entries before this day (UTC).")
@click.option("--json", "as_json", is_flag=True, help="Print each entry as a line of JSON.")
def audit(since: datetime | None, until: datetime | None, as_json: bool) -> None:
    """Show who did what, where, why, and the outcome. Ends with status 1 if entries are missing."""
    _log_nothing()
    from bot.cli.audit_command import run as run_audit

    begin, end = (day.replace(tzinfo=UTC) if day else None for day in (since, until))
    sys.exit(run_audit(os.environ, out=sys.stdout, err=sys.stderr, since=begin, until=end, as_json=as_json))


@main.command()
def prices() -> None:
    """Read the clouds' current prices; plans and launches use them from then on."""
    _log_nothing()
    from bot.cli.prices_command import run as run_prices

    sys.exit(run_prices(os.environ, out=sys.stdout, err=sys.stderr))


@main.command()
@click.option(
    "--deep", is_flag=True, help="Also check what a launch needs in each region. Creates nothing; takes up to a minute."
)
def check(deep: bool) -> None:
    """Check settings, Redis, Slack, gateway, prices and clouds, with remedies; last, whether a launch could work."""
    _log_nothing()
    from bot.cli.check_command import run as run_check

    sys.exit(run_check(os.environ, out=sys.stdout, err=sys.stderr, deep=deep))


def _operate(what: str, work: Any) -> None:
    _log_nothing()
    from bot.cli.operate_command import run as run_operation

    sys.exit(run_operation(os.environ, work, sys.stdout, sys.stderr, what))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _log_nothing() -> None:
    """Suppress libraries' warnings, which would appear between the command's own lines."""
    import logging

    logging.basicConfig(handlers=[logging.NullHandler()])


def _log_to_stderr() -> None:
    import logging

    from bot.cli.masked_log import MaskedFormatter, secrets_of

    to_stderr = logging.StreamHandler()
    to_stderr.setFormatter(MaskedFormatter(secrets_of(os.environ)))
    logging.basicConfig(level=logging.INFO, handlers=[to_stderr])
    logging.getLogger("httpx").setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
