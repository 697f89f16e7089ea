"""The file of `MIXTRAL_POLICY`: read at the start and after each change, checked whole, stored for all processes."""

import logging
import os
import stat
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex

from redis.exceptions import RedisError

from bot.slack.failures import SlackFailed, SlackRefused
from recipes.document import MAX_BYTES
from workers.deployment.audit import LONGEST, OPERATOR, AuditEntry, AuditOutcome
from workers.deployment.audit_stream import AuditStream
from workers.policy.schema import Policy, PolicyError, mentioned_groups, policy_of
from workers.policy.stored import StoredPolicy

_LOG = logging.getLogger(__name__)

LOOKED_AT_EVERY = timedelta(seconds=2)

Seen = tuple[int, int, int]
"""Inode, time of the last change and size of a file."""


def read_policy(path: Path, groups: Callable[[], Mapping[str, str]]) -> Policy:
    """The policy in a file. Raises PolicyError with line and field, SlackFailed if Slack does not list its user groups.

    `groups`: returns the handles of Slack's user groups by id; called only if the policy names one.
    """
    raw = _bytes_of(path)
    policy = policy_of(raw, str(path))
    named = mentioned_groups(raw, str(path))
    known = _listed(groups, path) if named else {}
    for group in named:
        if group.text not in known:
            raise PolicyError(
                f"Slack has no user group {group.text}: its id is at the end of its address in Slack, under People",
                file=group.file,
                line=group.line,
                field=group.field,
            )
    return policy


def _bytes_of(path: Path) -> bytes:
    """Raises PolicyError, also for what is no regular file: a pipe would be waited for."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            found = os.fstat(opened.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise PolicyError("is no file", file=str(path))
            if found.st_size > MAX_BYTES:
                sentence = f"is {found.st_size:,} bytes long; a policy has at most {MAX_BYTES:,}"
                raise PolicyError(sentence, file=str(path))
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise PolicyError(f"cannot be read: {error.strerror}", file=str(path)) from error


def _listed(groups: Callable[[], Mapping[str, str]], path: Path) -> Mapping[str, str]:
    try:
        return groups()
    except SlackRefused as refused:
        raise PolicyError(
            f"names user groups, and Slack does not list them ({refused.code}): add the scope usergroups:read, and "
            "install the app again",
            file=str(path),
        ) from refused


class PolicyFile:
    """Keeps the stored policy as the file says. Safe to use from several threads."""

    def __init__(
        self,
        path: Path | None,
        stored: StoredPolicy,
        groups: Callable[[], Mapping[str, str]],
        audit: AuditStream | None = None,
    ) -> None:
        """`path`: None: there is no file, and the defaults hold. `audit`: gets an entry of each change."""
        self._audit = audit
        self._path, self._stored, self._groups = path, stored, groups
        self._seen: Seen | None = None
        self._fault = ""

    def fault(self) -> str:
        """Why the newest file is not in force; empty if it is."""
        return self._fault

    def load(self) -> None:
        """Read the file and store its policy. Raises PolicyError, SlackFailed, RedisError."""
        if self._path is None:
            self._put(Policy())
            return
        seen = _seen(self._path)
        try:
            policy = read_policy(self._path, self._groups)
        except PolicyError as error:
            self._seen, self._fault = seen, str(error)
            try:
                self._record(AuditOutcome.REFUSED, str(error)[:LONGEST])
            except RedisError as away:
                _LOG.warning("Redis does not answer (%s), so the audit has no entry of the refused policy", away)
            raise
        self._put(policy)
        self._seen, self._fault = seen, ""

    def _put(self, policy: Policy) -> None:
        if self._stored.current() == policy:
            return
        self._record(AuditOutcome.DONE, "")  # before: without Redis, the policy does not change either
        self._stored.put(policy)

    def _record(self, outcome: AuditOutcome, why: str) -> None:
        if self._audit is None:
            return
        detail = f"MIXTRAL_POLICY={self._path}" if self._path else "without MIXTRAL_POLICY"
        entry = AuditEntry(
            at=datetime.now(UTC), who=OPERATOR, what="change the policy", outcome=outcome, detail=detail, why=why
        )
        self._audit.append(entry, once=f"policy.{token_hex(8)}")

    def refresh(self) -> None:
        """Read the file again if it has changed; a wrong one leaves the last policy in force, and is logged."""
        if self._path is None or (seen := _seen(self._path)) == self._seen:
            return
        try:
            self.load()
            _LOG.info("the policy was read again, and is in force")
        except PolicyError as error:
            _LOG.warning("the policy is wrong, and the last one stays in force: %s", error)
        except (SlackFailed, RedisError) as error:
            _LOG.warning("the policy cannot be read again now; it is tried again in a moment: %s", error)
        except Exception as error:  # noqa: BLE001 - the next change is read
            self._seen, self._fault = seen, f"{self._path} cannot be read: an unexpected error occurred ({error})"
            _LOG.exception("the policy is not read, and the last one stays in force")

    def run(self, stop: threading.Event) -> None:
        """Read the file after each change, until `stop` is set. A file that is being written is not read yet."""
        last = None if self._path is None else _seen(self._path)
        while not stop.wait(LOOKED_AT_EVERY.total_seconds()):
            now = None if self._path is None else _seen(self._path)
            if now == last:
                self.refresh()
            last = now


def _seen(path: Path) -> Seen | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
