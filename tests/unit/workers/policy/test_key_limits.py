import pytest

from workers.policy.key_limits import AT_ONCE_PER_REPLICA, UNLIMITED, KeyLimits
from workers.policy.schema import Policy, PolicyError, policy_of
from workers.policy.stored import StoredPolicy


def limits(text):
    return policy_of(text.encode(), "policy.yaml").keys


def test_all_limits_are_read_and_stored(redis):
    text = "keys:\n  requests_per_minute: 600\n  at_once: 32\n  bytes_per_minute: 50000000\n"
    read = limits(text)
    assert read == KeyLimits(requests_per_minute=600, at_once=32, bytes_per_minute=50_000_000)
    assert read.numbers(ready=8) == {"requests_per_minute": 600, "at_once": 32, "bytes_per_minute": 50_000_000}
    StoredPolicy(redis).put(Policy(keys=read))
    assert StoredPolicy(redis).current().keys == read


@pytest.mark.parametrize("text", ["", "keys:\n", "keys: {}\n", "keys:\n  at_once:\n"])
def test_without_a_number_only_requests_at_once_are_limited_by_the_ready_replicas(text):
    assert limits(text) == KeyLimits()
    found = [limits(text).numbers(ready) for ready in (0, 1, 3)]
    assert found == [{"at_once": n * AT_ONCE_PER_REPLICA} for n in (1, 1, 3)]


def test_a_policy_can_remove_the_limits(redis):
    read = limits("keys:\n  at_once: unlimited\n  requests_per_minute: unlimited\n")
    assert read.at_once == UNLIMITED
    assert read.numbers(ready=3) == {}
    StoredPolicy(redis).put(Policy(keys=read))
    assert StoredPolicy(redis).current().keys.numbers(ready=3) == {}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("0", "between 1 and 100000"),
        ("-3", "between 1 and 100000"),
        ("100001", "between 1 and 100000"),
        ("1e300", 'a whole number or "unlimited"'),
        ("1" + "0" * 40, "ordinary size"),
        (".inf", "ordinary size"),
        ("2.5", "whole number"),
        ("many", 'a whole number or "unlimited"'),
        ("true", "must be a number"),
        ("[3]", "a list"),
    ],
)
def test_a_limit_that_is_no_limit_refuses_the_policy_with_line_and_field(value, why):
    with pytest.raises(PolicyError, match=why) as caught:
        limits(f"keys:\n  requests_per_minute: 10\n  at_once: {value}\n")
    assert (caught.value.line, caught.value.field) == (3, "keys.at_once")


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("keys:\n  at_onse: 3\n", 2, "did you mean at_once"),
        ("keys:\n  tokens: 3\n", 2, "the limits are requests_per_minute, at_once, bytes_per_minute"),
        ("keys: 3\n", 1, "must be a mapping"),
        ("keys:\n  bytes_per_minute: 4000000000\n", 2, "between 1 and 2000000000"),
    ],
)
def test_what_is_no_limit_of_keys_is_refused_with_the_mend(text, line, why):
    with pytest.raises(PolicyError, match=why) as caught:
        limits(text)
    assert caught.value.line == line
