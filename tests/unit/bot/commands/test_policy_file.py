"""The file of the policy: what is stored at the start and after changes, and what a wrong one does."""

import logging
import os
from types import SimpleNamespace
from typing import Any

import pytest

from bot.commands.policy_file import PolicyFile, read_policy
from bot.slack.failures import SlackRefused
from workers.deployment.audit import decode
from workers.deployment.audit_stream import AuditStream
from workers.policy.rules import Right
from workers.policy.schema import Policy, PolicyError
from workers.policy.stored import StoredPolicy

GOOD = b"rules:\n  - people: [S0COOKS0001]\n    may: [look]\n"
DONE = object()
WRONG = b"rules:\n  - may: [lok]\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_bytes(GOOD)
    return path


def groups():
    return {"S0COOKS0001": "cooks"}


def test_a_policy_is_stored_at_the_start_and_after_each_change(redis, file):
    stored = StoredPolicy(redis)
    kept = PolicyFile(file, stored, groups)
    kept.load()
    assert stored.current().rules[0].may == (Right.LOOK,)
    file.write_bytes(b"rules:\n  - may: [look, ask]\n")
    kept.refresh()
    assert stored.current().rules[0].may == (Right.LOOK, Right.ASK)


def test_a_wrong_change_is_said_once_and_leaves_the_last_policy_in_force(redis, file, caplog):
    stored = StoredPolicy(redis)
    kept = PolicyFile(file, stored, groups, AuditStream(redis))
    kept.load()
    kept.load()
    file.write_bytes(WRONG)
    with caplog.at_level(logging.WARNING):
        kept.refresh()
        kept.refresh()
    assert len(caplog.records) == 1
    changes = [decode(raw) for _, raw in AuditStream(redis).read()]
    assert [(one.what, one.outcome.value) for one in changes] == [
        ("change the policy", "done"),
        ("change the policy", "refused"),
    ]
    assert "did you mean look?" in changes[1].why
    assert "did you mean look?" in kept.fault()
    assert stored.current().rules[0].may == (Right.LOOK,)
    file.unlink()
    kept.refresh()
    assert "cannot be read" in kept.fault()
    assert stored.current().rules[0].may == (Right.LOOK,), "a file that is away opens nothing"
    file.write_bytes(GOOD)
    kept.refresh()
    assert kept.fault() == ""


def test_a_wrong_policy_at_the_start_is_refused_whole(redis, file):
    file.write_bytes(b"rules:\n  - may: [look]\n  - usd_per_hour: -5\n")
    stored = StoredPolicy(redis)
    with pytest.raises(PolicyError, match=r"policy.yaml:3: rules\[1\].usd_per_hour.*negative"):
        PolicyFile(file, stored, groups).load()
    assert stored.current() == Policy()


def test_without_a_file_an_earlier_policy_no_longer_holds(redis, file):
    PolicyFile(file, StoredPolicy(redis), groups).load()
    PolicyFile(None, StoredPolicy(redis), groups).load()
    assert StoredPolicy(redis).current() == Policy()


def test_a_user_group_that_slack_does_not_have_is_refused_with_its_line(file):
    with pytest.raises(PolicyError, match=r"policy.yaml:2: rules\[0\].people\[0\].*no user group S0COOKS0001"):
        read_policy(file, dict)


def test_user_groups_without_their_scope_are_refused_with_the_scope(file):
    def refused():
        raise SlackRefused("missing_scope")

    with pytest.raises(PolicyError, match="usergroups:read"):
        read_policy(file, refused)
    file.write_bytes(b"rules:\n  - may: [look]\n")
    assert read_policy(file, refused).rules, "Slack is not asked for what is not named"


def test_what_is_no_file_of_ordinary_size_is_refused_and_read_no_further(redis, tmp_path):
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    with large.open("wb") as opened:
        opened.truncate(10**11)
    for path, why in ((pipe, "is no file"), (tmp_path, "Is a directory"), (large, "bytes long")):
        with pytest.raises(PolicyError, match=why):
            read_policy(path, groups)


def test_an_unexpected_error_leaves_the_last_policy_in_force_and_the_next_change_is_read(redis, file, caplog):
    def broken():
        raise ValueError("unexpected")

    known: list[Any] = [groups]

    def listed():
        return known[-1]()

    kept = PolicyFile(file, StoredPolicy(redis), listed)
    kept.load()
    known.append(broken)
    file.write_bytes(GOOD + b"\n")
    kept.refresh()
    assert "unexpected" in caplog.text
    known.pop()
    file.write_bytes(b"rules:\n  - may: [ask]\n")
    kept.refresh()
    assert StoredPolicy(redis).current().rules[0].may == (Right.ASK,)


def test_a_file_is_read_only_once_it_has_stopped_changing(redis, file):
    stored = StoredPolicy(redis)
    kept = PolicyFile(file, stored, groups)
    kept.load()
    looks = iter([b"", b"rules:\n", b"rules:\n  - may: [ask]\n", None, None])
    seen = []

    def wait(_):  # as an editor that truncates the file, and writes it while the bot looks
        seen.append(stored.current().rules[0].may)
        written = next(looks, DONE)
        if isinstance(written, bytes):
            file.write_bytes(written)
        return written is DONE

    stop: Any = SimpleNamespace(wait=wait)
    kept.run(stop)
    assert seen == [(Right.LOOK,)] * 4 + [(Right.ASK,)] * 2
