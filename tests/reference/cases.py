"""What happens under load, after failures and under attack, each with the tests that show it."""

INTRODUCTION = """# What holds under load and attack

Each row is an attack, a failure or a load, what happens, and the tests that show it. A test checks that they exist. What
is measured rather than tested is printed by `make bench`. [The soak](../soak.md) has everything at once.
"""

CASES = {
    "A second worker host with a home of its own starts on the same Redis, or a home is lost: no machine is written off, bought twice or forgotten.": (
        "tests/crash/test_second_host.py::test_a_second_host_that_takes_over_writes_nothing_off_and_buys_nothing",
        "tests/contract/test_worker_hosts.py::test_a_host_with_another_installation_s_id_neither_judges_buys_nor_ends",
        "tests/contract/test_identity.py::test_a_home_without_an_id_takes_the_one_of_redis",
        "tests/contract/test_identity.py::test_a_different_id_is_refused_with_both_ids_and_the_way_out",
    ),
    "Two installations use one gateway port: the second does not start.": (
        "tests/contract/test_gateway_address.py::test_of_two_installations_on_one_port_the_second_does_not_start",
    ),
    "No worker runs for longer than a machine's lease: card and thread say what became of the machines.": (
        "tests/contract/test_places.py::test_a_worker_that_was_away_for_longer_than_the_lease_says_what_became_of_the_machines",
    ),
    "The clock is set back two hours, or forward thirty: lists, probes and leases go on, and a lease that ends too late is corrected.": (
        "tests/contract/test_places.py::test_a_clock_that_is_set_back_does_not_stop_the_lists",
        "tests/contract/test_places.py::test_a_clock_that_is_set_back_does_not_stop_the_probes",
        "tests/contract/test_places.py::test_a_clock_that_is_thirty_hours_ahead_and_then_right_loses_no_machine",
        "tests/contract/test_places.py::test_a_lease_that_a_clock_ahead_has_set_too_far_away_is_corrected",
        "tests/contract/test_projection.py::test_a_clock_that_is_set_back_does_not_stop_the_comparison_with_the_logs",
        "tests/contract/test_deadman.py::test_a_clock_that_jumps_has_the_shutdown_armed_anew",
    ),
    "A log contains an event of a newer version: nothing is decided, the machines are kept, and people are told.": (
        "tests/contract/test_newer_log.py::test_its_machines_are_neither_ended_nor_replaced_and_their_leases_are_extended",
        "tests/contract/test_newer_log.py::test_down_and_scale_are_refused_with_the_version_and_the_mend",
        "tests/contract/test_newer_log.py::test_card_and_status_say_so_and_that_money_may_be_missing",
        "tests/contract/test_newer_log.py::test_it_is_logged_once_a_minute_and_without_a_traceback",
    ),
    "HTTP mode gets a huge body, a thousand slow connections, a forged timestamp, a repeated request: each is refused, with bounded memory and threads.": (
        "tests/unit/bot/slack/test_http_server.py::test_a_body_that_is_too_large_or_of_no_stated_size_is_not_read",
        "tests/unit/bot/slack/test_http_server.py::test_clients_that_send_slowly_are_cut_off_and_block_no_other_client",
        "tests/unit/bot/slack/test_http_server.py::test_more_connections_than_threads_are_answered_with_503",
        "tests/unit/bot/slack/test_http_server.py::test_a_forged_or_old_request_is_refused",
        "tests/unit/bot/slack/test_http_server.py::test_a_request_that_is_sent_again_as_it_was_acts_once",
    ),
    "An intent is carried out again after a crash: its machine is looked for before it is asked for.": (
        "tests/contract/test_control_loop.py::test_an_intent_that_is_replayed_is_looked_for_first_for_a_cloud_forgets_tokens",
        "tests/contract/test_control_loop.py::test_an_intent_that_cannot_be_looked_for_is_not_asked_for_again",
    ),
    "A log is rolled back by an old copy of Redis: no token of a purchase is used again.": (
        "tests/contract/test_control_loop.py::test_an_attempt_of_a_log_that_was_rolled_back_never_takes_the_token_of_the_one_before",
    ),
    "Everything at once, for minutes or hours: nothing acknowledged is lost, and nothing grows.": (
        "tests/soak/test_soak.py::test_machines_are_as_wanted_no_request_is_lost_and_nothing_grows",
    ),
}  # fmt: skip
"""Tests as pytest names them, by what they show."""


def page() -> str:
    """The text of docs/reference/cases.md."""
    rows = [
        f"| {number} | {said} | {'<br>'.join(map(_shown, tests))} |"
        for number, (said, tests) in enumerate(CASES.items(), 1)
    ]
    return "\n".join([INTRODUCTION, "| | what happens | shown by |", "|---|---|---|", *rows])


def _shown(test: str) -> str:
    file, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../../{file})"
