"""All processes decide by the time of Redis: each module that reads the clock of its host has a reason."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DEFAULT = "the default of an argument, for tests: `bot.run` and `workers.run` give the time of Redis"
PAUSES = "ages and pauses of questions, which are bounded whatever the clock does"
AUDITED = "the time of an entry of the audit, by which nothing is decided"
SHOWN = "what a command prints once"
OF_HOST = "files of this host"
OF_CLOUD = "compared with times of a cloud, within its limits of signatures"

REASONS = {
    "bot/admission.py": AUDITED,
    "bot/cards/budget_warnings.py": DEFAULT,
    "bot/cards/follower.py": DEFAULT,
    "bot/cards/gateway_alerts.py": DEFAULT,
    "bot/cards/orphan_reports.py": DEFAULT,
    "bot/cards/redis_watch.py": DEFAULT,
    "bot/cards/worker_watch.py": DEFAULT,
    "bot/cli/check_redis.py": "compared with the time of Redis",
    "bot/cli/ledger_command.py": SHOWN,
    "bot/cli/machines_command.py": SHOWN,
    "bot/cli/operate_command.py": AUDITED,
    "bot/cli/prices_command.py": SHOWN,
    "bot/commands/policy_file.py": AUDITED,
    "bot/commands/settle.py": AUDITED,
    "bot/prompting/pool.py": PAUSES,
    "bot/prompting/question_flow.py": PAUSES,
    "bot/prompting/question_tries.py": PAUSES,
    "bot/prompting/store.py": PAUSES,
    "workers/clouds/aws/driver.py": OF_CLOUD,
    "workers/clouds/aws/quotes.py": OF_CLOUD,
    "workers/clouds/aws/templates.py": OF_CLOUD,
    "workers/clouds/gcp/ended_machines.py": OF_CLOUD,
    "workers/clouds/gcp/launch.py": OF_CLOUD,
    "workers/clouds/local/driver.py": OF_HOST,
    "workers/clouds/local/machine.py": OF_HOST,
    "workers/deployment/identity.py": "logs of the last 30 days, of which one is enough",
    "workers/deployment/transfer.py": "the remaining time of what expires, which is the same in the other Redis",
    "workers/gateway/holding.py": "compared once with HAProxy's time of the arrival, which is of the same host",
    "workers/placement/catalog.py": "the date of a price table",
    "workers/placement/in_use.py": "the date of a price table",
    "workers/pool.py": "jobs of RQ, which expire by the clocks of hosts",
    "workers/redis_clock.py": "until Redis has answered once",
}


def test_each_module_that_reads_the_clock_of_its_host_has_a_reason() -> None:
    files = (file for package in ("bot", "workers", "recipes") for file in (ROOT / package).rglob("*.py"))
    sources = {str(file.relative_to(ROOT)): file.read_text() for file in files if "sandbox" not in file.parts}
    reads = {name for name, text in sources.items() if "datetime.now(" in text or "time.time()" in text}
    assert reads == REASONS.keys()
