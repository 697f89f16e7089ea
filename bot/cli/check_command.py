"""`mixtral-bot check`: one line for each thing that must work, with the cause and what to do."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TextIO

from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.cli.check_connections import gateway
from bot.cli.check_control import control
from bot.cli.check_hub import HUB, joined
from bot.cli.check_hub import questions as hub_questions
from bot.cli.check_policy import policy
from bot.cli.check_redis import redis
from bot.cli.check_slack import blocks, slack
from bot.cli.check_verdict import verdict
from bot.cli.concurrent import ask
from bot.settings import mistakes
from recipes.loader import find, folders, load, names
from recipes.schema import Recipe, RecipeError
from workers import settings
from workers.clouds.admitted import admitted
from workers.clouds.aws import deep_findings as deep_aws
from workers.clouds.aws import findings as findings_aws
from workers.clouds.cidrs import CIDRS, CIDRS_MEND, CidrsError
from workers.clouds.driver import Driver
from workers.clouds.egress import on_egress
from workers.clouds.findings import CREDENTIALS, QUOTA, Finding, Need
from workers.clouds.gcp import deep_findings as deep_gcp
from workers.clouds.gcp import findings as findings_gcp
from workers.clouds.needs import needs
from workers.clouds.usability import NAMES, statuses
from workers.errors import WorkersError
from workers.placement import shared_prices
from workers.placement.in_use import in_use, own
from workers.run import drivers_of

WITHIN = timedelta(seconds=45)
RENTED = {"aws": findings_aws.questions, "gcp": findings_gcp.questions}
DEEP = {"aws": deep_aws.questions, "gcp": deep_gcp.questions}
ORDER = (
    *(CREDENTIALS, "permissions", "spot role", "regions", "network", "subnets", "firewall", "image", "driver"),
    *("other quota", QUOTA),
)
MARKS = {True: Text("ok", style="green"), False: Text("no", style="bold red"), None: Text("-", style="dim")}

Question = Callable[[], list[Finding]]


def run(environ: Mapping[str, str], out: TextIO, err: TextIO | None = None, *, deep: bool = False) -> int:
    """Print a line for each finding, and whether a launch could work. Return 0 if so, else 1. Raises nothing.

    `deep`: also check what a first launch needs in each region. Nothing is created.
    """
    connections = {
        "Redis": redis,
        "Slack": slack,
        "Slack blocks": blocks,
        "worker control": control,
        "gateway": gateway,
        "policy": policy,
    }
    questions: dict[str, Question] = {name: partial(question, environ) for name, question in connections.items()}
    questions |= hub_questions(environ, _recipes(environ))
    prices, needed = _prices(environ)
    found = [*prices, *_installation(environ), *_of_the_bot(environ)]
    known, beside = _clouds(environ)
    found += beside
    for cloud, ask_cloud in RENTED.items():
        if known.get(cloud):
            mine = tuple(need for need in needed if need.cloud == cloud)
            asked = ask_cloud(environ, mine) | (DEEP[cloud](environ, mine) if deep else {})
            questions |= {f"{NAMES[cloud]} {what}": question for what, question in asked.items()}
    if deep and any(known.get(cloud) for cloud in RENTED):
        questions["settings egress"] = partial(_egress, environ)
    answers = ask(questions, within=WITHIN, console=Console(file=err or sys.stderr))
    for name, answer in joined(answers).items():
        found += _unanswered(name, answer) if isinstance(answer, Exception) else answer
    ordered = sorted(_relevant(found), key=_place)
    show(ordered, out)
    last = verdict(ordered, _named(environ))
    console = _console(out)
    console.print(Text(last.says, style="bold"), soft_wrap=not _wraps(console))
    return 0 if last.ready else 1


def show(found: Sequence[Finding], out: TextIO) -> None:
    """Print the findings: as a wrapped table on a terminal, else one line each."""
    console = _console(out)
    if not _wraps(console):
        for finding in found:
            mark, says = MARKS[finding.works], _says(finding)
            console.print(Text.assemble(f"{mark.plain:2} {finding.about:8} {finding.what:11} ", says), soft_wrap=True)
        return
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in found:
        style = "dim" if finding.works is None else ""
        table.add_row(MARKS[finding.works], finding.about, finding.what, _says(finding), style=style)
    console.print(table)


def _console(out: TextIO) -> Console:
    return Console(file=out, highlight=False, emoji=False)


def _wraps(console: Console) -> bool:
    """Whether long lines are wrapped; if not, programs can read them."""
    return console.is_terminal or "COLUMNS" in os.environ


def _says(finding: Finding) -> Text:
    if not finding.mend:
        return Text(finding.says)
    mend = f"{finding.mend[0].upper()}{finding.mend[1:]}".rstrip(".")
    return Text.assemble(f"{finding.says}. ", (f"{mend}.", "" if finding.works is None else "bold"))


def _installation(environ: Mapping[str, str]) -> list[Finding]:
    """Check that the environment can be read and files can be stored."""
    try:
        read = settings.from_environ(environ, needs_redis=False)
    except WorkersError as error:
        cause, _, mend = str(error).rstrip(".").partition(": ")
        return [Finding(about="settings", what="", works=False, says=cause, mend=mend)]
    except OSError as error:
        mend = "set MIXTRAL_HOME to a writable folder"
        return [Finding(about="settings", what="", works=False, says=f"files cannot be stored: {error}", mend=mend)]
    which = (
        f"installation {read.installation}"
        if read.installation
        else "no installation id yet: the first worker makes it"
    )
    says = f"{which}, files in {read.home}"
    return [Finding(about="settings", what="", works=True, says=says)]


def _of_the_bot(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check what only the bot reads: a mistake there stops `mixtral-bot run`."""
    for sentence in mistakes(environ):
        cause, _, mend = sentence.rstrip(".").partition(". ")
        yield Finding(about="settings", what="", works=False, says=cause, mend=mend)


def _prices(environ: Mapping[str, str]) -> tuple[list[Finding], tuple[Need, ...]]:
    """Check the price table; return also what the recipes need of its clouds."""
    try:
        redis = shared_prices.connect(environ)
        prices = in_use(environ, redis and shared_prices.reader(redis))
        alone = ": the table in MIXTRAL_PRICES, which is used alone"
        says = f"{prices.dated}{alone if own(environ) else '; `mixtral-bot prices` updates them'}"
        found = [Finding(about="prices", what="", works=True, says=says)]
        return [*found, *_on_tables(prices.ignored), *_on_refresh(redis)], needs(_recipes(environ), prices.offers)
    except WorkersError as error:
        cause, _, mend = str(error).rstrip(".").rpartition(". ")
        return [Finding(about="prices", what="", works=False, says=cause or mend, mend=mend if cause else "")], ()


def _on_tables(ignored: Sequence[str]) -> Iterator[Finding]:
    for why in ignored:
        # If Redis does not answer, the finding about Redis contains the mend.
        mend = "" if why.startswith(shared_prices.UNANSWERED) else "run `mixtral-bot prices`"
        yield Finding(about="prices", what="", works=None, says=why.rstrip("."), mend=mend)


def _on_refresh(client: Any) -> Iterator[Finding]:
    """Report what the last refresh of the prices in Redis could not read."""
    try:
        last, _ = (None, "") if client is None else shared_prices.load(client)
    except (RedisError, OSError):
        return  # the cause is in the findings about Redis
    for why in last.failed if last else ():
        says = f"refresh of {last.tried_at:%Y-%m-%d %H:%M} UTC: {why.rstrip('.')}" if last else ""
        yield Finding(about="prices", what="refresh", works=None, says=says)


def _recipes(environ: Mapping[str, str]) -> Iterator[Recipe]:
    """Yield the recipes that can be read; `mixtral-bot plan` shows the errors of the others."""
    try:
        further = folders(environ)
        for name in names(further):
            try:
                yield load(find(name, further), environ)
            except RecipeError:
                continue
    except RecipeError:
        return


def _clouds(environ: Mapping[str, str]) -> tuple[dict[str, bool], list[Finding]]:
    """Return whether each cloud has credentials, and findings that need no call."""
    named = _named(environ)
    drivers = _drivers(environ)
    asked: dict[str, bool] = {}
    found: list[Finding] = []
    for cloud, status in sorted(statuses(environ, drivers=frozenset(NAMES)).items()):
        about = NAMES[cloud]
        # A driver may find credentials outside of files and variables, for example on a machine of the cloud.
        other = drivers[cloud].status().reason != status.reason if cloud in drivers and cloud in RENTED else False
        asked[cloud] = status.usable or other
        if not asked[cloud]:
            says = (status.reason or "cannot be used").removeprefix(f"{about}: ")
            works = False if cloud in named else None
            found.append(Finding(about=about, what="", works=works, says=says, mend=status.mend or ""))
        elif cloud == "local":
            found.append(_local(drivers))
        else:
            found += _firewall(about, environ)
    return asked, found


def _drivers(environ: Mapping[str, str]) -> Mapping[str, Driver]:
    try:
        return drivers_of(settings.from_environ(environ, needs_redis=False))
    except (WorkersError, OSError):
        return {}  # the cause is in the finding about the settings


def _local(drivers: Mapping[str, Driver]) -> Finding:
    if "local" not in drivers:
        return Finding(about="local", what="", works=None, says="not checked until the settings are valid")
    status = drivers["local"].status()
    says = "replicas as processes on this machine" if status.usable else (status.reason or "cannot be used")
    return Finding(about="local", what="", works=status.usable, says=says, mend=status.mend or "")


def _firewall(about: str, environ: Mapping[str, str]) -> list[Finding]:
    """Check which addresses may reach a machine's port."""
    try:
        open_to = admitted(environ)
    except CidrsError as error:
        mend = CIDRS_MEND[0].lower() + CIDRS_MEND[1:].rstrip(".")
        return [Finding(about=about, what="firewall", works=False, says=str(error), mend=mend)]
    whose = "" if environ.get(CIDRS) else ", the address of MIXTRAL_GATEWAY_URL"
    says = f"ports will be open to {', '.join(open_to)}{whose}"
    return [Finding(about=about, what="firewall", works=True, says=says)]


def _egress(environ: Mapping[str, str]) -> list[Finding]:
    """Check whether machines would admit the probes of this host."""
    try:
        return [on_egress(environ, admitted(environ))]
    except CidrsError:
        return []  # the finding about the firewall contains it


def _unanswered(name: str, error: Exception) -> list[Finding]:
    """Return the finding for a check that timed out or raised an unexpected error."""
    about, _, what = name.partition(" ")
    works = None if what not in ("", CREDENTIALS) else False
    says = str(error) if isinstance(error, TimeoutError) else f"could not be checked: {type(error).__name__}: {error}"
    mend = "check the network, and try again" if isinstance(error, TimeoutError) else ""
    return [Finding(about=about, what=what, works=works, says=" ".join(says.split()), mend=mend)]


def _relevant(found: Iterable[Finding]) -> list[Finding]:
    """Leave out the findings that are only a consequence of unusable credentials."""
    found = list(found)
    broken = {f.about for f in found if f.what == CREDENTIALS and f.works is False}
    return [f for f in found if f.about not in broken or f.what in (CREDENTIALS, "firewall")]


def _place(finding: Finding) -> tuple[int, int]:
    abouts = ("settings", "policy", "Redis", "worker", "Slack", "gateway", "prices", HUB, *sorted(NAMES.values()))
    what = ORDER.index(finding.what) if finding.what in ORDER else -1
    return abouts.index(finding.about), what


def _named(environ: Mapping[str, str]) -> set[str]:
    words = {word.strip().lower() for word in environ.get("MIXTRAL_CLOUDS", "").split(",")}
    return words & set(NAMES)
