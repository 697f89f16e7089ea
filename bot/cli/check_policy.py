"""The file of `MIXTRAL_POLICY`, for `mixtral-bot check`."""

from collections.abc import Mapping
from pathlib import Path

from bot.cli.check_slack import user_groups
from bot.commands.policy_file import read_policy
from bot.slack.failures import SlackFailed
from workers.clouds.findings import Finding
from workers.policy.schema import PolicyError


def policy(environ: Mapping[str, str]) -> list[Finding]:
    """Whether the policy can be read, and names only user groups that Slack has. Nothing without a policy."""
    path = environ.get("MIXTRAL_POLICY", "").strip()
    if not path:
        return []
    try:
        read = read_policy(Path(path), lambda: user_groups(environ))
    except PolicyError as error:
        mend = "correct the file: the bot does not start with it, and a running one keeps the last policy"
        return [Finding(about="policy", what="", works=False, says=str(error).rstrip("."), mend=mend)]
    except SlackFailed as failed:
        says = f"{path}: its user groups were not checked: {failed}"
        return [Finding(about="policy", what="", works=None, says=says.rstrip("."))]
    number = len(read.rules)
    rules = "no rule" if not number else "1 rule" if number == 1 else f"{number} rules"
    return [Finding(about="policy", what="", works=True, says=f"{path}: {rules}; the first one that matches decides")]
