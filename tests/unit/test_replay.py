"""The output of `make replay`."""

import msgspec
import pytest

from tests.recorded import LOGS, STATES, decoded, read, recorded
from tests.replay import main
from workers.deployment.log import START, Log

FAILOVER = LOGS / "failover.jsonl"


@pytest.mark.parametrize("path", recorded(), ids=lambda path: path.stem)
def test_each_event_is_printed_with_the_state_after_it_and_the_next_step_at_the_end(path, capsys):
    main([str(path)])
    printed = capsys.readouterr().out.splitlines()
    events = decoded(read(path)[1])
    assert len(printed) == 2 * len(events) + 2
    for version, event in enumerate(events, 1):
        assert f"{version} " in printed[2 * version - 2]
        assert type(event).__name__ in printed[2 * version - 2]
        assert "USD/h" in printed[2 * version - 1]
    assert printed[-2].startswith("At the last event the control loop would: ")
    assert printed[-1].startswith("Now the control loop would: ")


def test_of_an_earlier_version_the_state_is_printed_with_all_its_fields(capsys):
    main([str(FAILOVER), "--at", "1", "--state"])
    printed = capsys.readouterr().out
    state = msgspec.json.decode(printed[printed.index("{") : printed.rindex("}") + 1])
    assert state["version"] == 1
    assert "At the last event the control loop would: plan" in printed


def test_a_log_is_read_from_redis_and_exported_as_it_was(redis, valkey_url, capsys):
    header, lines = read(FAILOVER)
    assert Log(redis).append(header.deployment, START, decoded(lines))
    before = redis.dbsize()
    source = ["--redis", valkey_url, "--deployment", header.deployment]
    main([*source, "--export"])
    _, *exported = capsys.readouterr().out.encode().splitlines()
    assert exported == lines
    main([*source, "--plain"])
    assert capsys.readouterr().out.encode() == FAILOVER.with_suffix(STATES).read_bytes()
    assert redis.dbsize() == before


@pytest.mark.parametrize(
    "arguments",
    [[], ["--redis", "redis://127.0.0.1:1/0"], [str(FAILOVER), "--at", "0"], ["no.jsonl"], [__file__]],
)
def test_without_a_log_it_says_what_is_missing(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "log" in capsys.readouterr().err
