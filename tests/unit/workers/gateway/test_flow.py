"""Which replicas' answers grow, by HAProxy's counters."""

from datetime import timedelta

from workers.gateway.flow import Flow
from workers.gateway.table import Actual, ActualServer, Older

SECOND = timedelta(seconds=1)


def server(sent, address="h:1"):
    return ActualServer(backend="b0", name="r1", address=address, sent=sent)


def seen(*looks):
    """The flow after one look per second, the first at 0."""
    flow = Flow()
    for n, look in enumerate(looks):
        actual = look if isinstance(look, Actual) else Actual(size=1, servers=(server(look),))
        flow = flow.seen(actual, float(n))
    return flow


def test_an_answer_flows_from_the_look_at_which_it_grew():
    flow = seen(100, 100, 130, 130)
    assert flow.idle("h:1", 3) == 1
    assert flow.flowing(3, within=SECOND) == {"h:1"}
    assert flow.flowing(4, within=SECOND) == frozenset()


def test_a_gateway_that_starts_anew_knows_of_no_flow():
    flow = seen(100)
    assert flow.idle("h:1", 0) is None
    assert flow.flowing(0, within=SECOND) == frozenset()


def test_a_counter_that_starts_again_has_not_grown_and_then_grows():
    assert seen(100, 0).idle("h:1", 0) is None
    assert seen(100, 0, 7).idle("h:1", 2) == 0


def test_what_a_process_that_was_replaced_still_streams_counts():
    def replaced(sent):
        return Actual(size=1, servers=(server(0),), older=(Older(pid=7, servers=(server(sent),)),))

    assert seen(100, replaced(100)).idle("h:1", 0) is None
    assert seen(100, replaced(100), replaced(120)).idle("h:1", 2) == 0


def test_a_server_that_is_gone_is_forgotten():
    flow = seen(100, 130, Actual(size=1))
    assert flow == Flow()
