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
    "A launch is kept trying for days on a dry ladder, or thousands of replicas are gone: the state has the size of what runs.": (
        "tests/unit/workers/deployment/test_working_set.py::test_the_state_of_a_dry_ladder_does_not_grow_with_the_days",
        "tests/unit/workers/deployment/test_working_set.py::test_the_next_step_is_as_if_no_attempt_had_left",
        "tests/unit/workers/deployment/test_working_set.py::test_of_thousands_of_lost_replicas_the_newest_are_kept_with_the_first_that_was_ready_and_the_sums",
        "tests/unit/workers/deployment/test_working_set.py::test_a_fold_of_twice_as_many_events_calls_twice_as_many_functions",
    ),
    "Ten thousand idle connections, unfinished headers, wrong keys without end: who has a key is served.": (
        "tests/contract/test_gateway_sources.py::test_ten_thousand_connections_that_asked_for_health_do_not_silence_a_key",
        "tests/contract/test_gateway_sources.py::test_unfinished_headers_of_one_source_are_few_and_end_soon",
        "tests/contract/test_gateway_sources.py::test_silent_connections_of_many_sources_leave_a_reserve_for_who_has_shown_a_key",
        "tests/contract/test_gateway_sources.py::test_wrong_keys_are_counted_slowed_and_end_their_connection_while_a_valid_one_is_served",
        "tests/scenario/test_gateway_alerts.py::test_wrong_keys_are_told_to_the_admins_once_an_hour",
        "tests/unit/workers/gateway/test_capacity.py::test_connections_fit_into_memory_and_files",
    ),
    "A disk is full, or a key is revoked while a stream of it runs: what is revoked is closed first, and its streams end.": (
        "tests/contract/test_gateway_closing.py::test_on_a_full_disk_a_revoked_key_is_closed_and_a_new_one_opened",
        "tests/contract/test_gateway_closing.py::test_on_a_full_disk_an_ended_deployment_is_closed",
        "tests/contract/test_gateway_closing.py::test_a_stream_of_a_revoked_key_ends_and_those_of_other_keys_go_on",
        "tests/scenario/test_gateway_alerts.py::test_files_that_cannot_be_written_are_told_with_cause_and_mend",
    ),
    "No gateway runs for a minute while replicas are ready: the admins are told, and `mixtral-bot check` fails.": (
        "tests/scenario/test_gateway_alerts.py::test_that_no_gateway_runs_is_told_after_a_minute_while_replicas_are_ready",
        "tests/unit/bot/cli/test_check_redis.py::test_a_gateway_that_does_not_run_is_a_failure_once_there_are_deployments",
    ),
    "A log is gone, and its name is still taken: the name is free two leases after its machines were last seen.": (
        "tests/contract/test_freed_names.py::test_while_a_machine_may_run_the_name_is_taken_and_reported",
        "tests/contract/test_freed_names.py::test_two_leases_later_the_name_and_its_keys_are_free",
        "tests/contract/test_freed_names.py::test_the_name_stays_taken_if_its_log_comes_back",
    ),
    "Two installations use one gateway port: the second does not start.": (
        "tests/contract/test_gateway_address.py::test_of_two_installations_on_one_port_the_second_does_not_start",
        "tests/contract/test_gateway_address.py::test_two_haproxies_that_start_at_once_do_not_share_an_address",
    ),
    "No worker runs for longer than a machine's lease: card and thread say what became of the machines.": (
        "tests/contract/test_places.py::test_a_worker_that_was_away_for_longer_than_the_lease_says_what_became_of_the_machines",
    ),
    "No worker answers for a minute while machines run, or one observes without doing jobs: each channel gets one message, with the price.": (
        "tests/scenario/test_missing_workers.py::test_each_channel_hears_once_that_no_worker_answers_and_once_that_one_does",
        "tests/scenario/test_missing_workers.py::test_workers_that_observe_but_do_no_jobs_are_told_of_with_what_that_costs",
        "tests/scenario/test_missing_workers.py::test_the_card_says_it_and_is_not_green_and_says_when_the_lease_has_passed",
    ),
    "Redis loses what it has acknowledged, refuses writes, is slow or almost full: `mixtral-bot check` names the setting and the mend.": (
        "tests/unit/bot/cli/test_check_redis.py::test_a_redis_without_an_append_only_file_says_what_it_forgets",
        "tests/unit/bot/cli/test_check_redis.py::test_a_redis_that_accepts_no_writes_is_a_failure_with_cause_and_mend",
        "tests/unit/bot/cli/test_check_redis.py::test_a_memory_that_is_almost_full_and_a_slow_redis_are_reported_before_they_fail",
        "tests/unit/bot/cli/test_check_redis.py::test_a_host_and_a_process_that_are_frozen_are_named_beside_those_that_answer",
    ),
    "Redis is read-only, full or slow: commands are answered with cause and mend, and nothing is bought that cannot be stored.": (
        "tests/contract/test_redis_faults.py::test_a_command_is_answered_with_cause_consequence_and_mend",
        "tests/contract/test_redis_faults.py::test_nothing_is_bought_while_no_intent_can_be_stored",
        "tests/contract/test_redis_faults.py::test_a_machine_whose_creation_cannot_be_stored_is_kept_and_no_second_is_bought",
        "tests/contract/test_redis_faults.py::test_a_machine_outlives_a_fault_that_is_shorter_than_its_lease_and_else_ends_itself",
        "tests/scenario/test_failing_redis.py::test_the_channel_and_the_admins_hear_once_what_redis_refuses_and_once_that_it_works",
    ),
    "Redis is restored from an old copy: machines that it does not know are reported with their price, and never ended.": (
        "tests/contract/test_restored_redis.py::test_machines_that_a_restored_redis_does_not_know_are_never_ended_and_recorded_with_their_price",
        "tests/contract/test_restored_redis.py::test_the_admins_hear_of_them_once_with_their_price_and_what_to_do",
        "tests/contract/test_restored_redis.py::test_no_token_is_used_twice_after_a_restore",
        "tests/contract/test_silence.py::test_the_answer_of_a_call_whose_intent_is_lost_takes_no_other_attempt",
    ),
    "The clock is set back two hours, or forward thirty: lists, probes, leases and waits go on, and a lease that ends too late is corrected.": (
        "tests/contract/test_places.py::test_a_clock_that_is_set_back_does_not_stop_the_lists",
        "tests/contract/test_places.py::test_a_clock_that_is_set_back_does_not_stop_the_probes",
        "tests/contract/test_places.py::test_a_clock_that_is_thirty_hours_ahead_and_then_right_loses_no_machine",
        "tests/contract/test_places.py::test_a_lease_that_a_clock_ahead_has_set_too_far_away_is_corrected",
        "tests/contract/test_clock_steps.py::test_a_replica_that_fails_its_probe_is_replaced_in_time_although_the_clock_is_set_back",
        "tests/contract/test_clock_steps.py::test_a_clock_that_is_set_back_between_a_purchase_and_its_answer_costs_no_machine",
        "tests/contract/test_clock_steps.py::test_over_steps_of_the_clock_nothing_waits_longer_and_no_machine_ends_that_answers",
        "tests/contract/test_projection.py::test_a_clock_that_is_set_back_does_not_stop_the_comparison_with_the_logs",
        "tests/contract/test_deadman.py::test_a_clock_that_jumps_has_the_shutdown_armed_anew",
    ),
    "A hundred and fifty questions arrive in one channel: another channel's is answered at once, and none holds a thread while it waits.": (
        "tests/scenario/test_rush.py::test_a_question_is_answered_though_another_channel_has_asked_more_than_there_are_threads",
        "tests/unit/bot/slack/test_fair_pool.py::test_a_hundred_jobs_that_wait_hold_no_thread",
        "tests/unit/bot/slack/test_fair_share.py::test_an_item_waits_for_at_most_one_of_each_other_channel",
    ),
    "A thousand replicas answer their probes slowly, or hang: a new replica is probed first.": (
        "tests/scenario/test_thousands.py::test_slow_replicas_do_not_delay_a_new_one",
        "tests/unit/workers/control/test_probing.py::test_a_thousand_replicas_that_hang_do_not_delay_a_new_one",
        "tests/unit/workers/control/test_turns.py::test_an_urgent_call_begins_next_however_many_others_wait",
        "tests/unit/workers/control/test_turns.py::test_calls_that_hang_leave_a_quarter_to_urgent_ones",
        "tests/unit/workers/serving/test_exchange.py::test_no_answer_and_no_failure_leaves_a_connection_or_a_descriptor_open",
    ),
    "Every job of a worker imported the SDKs of its cloud: the worker imports them once.": (
        "tests/contract/test_sdks.py::test_a_job_of_the_worker_imports_nothing_of_an_sdk_anew",
        "tests/contract/test_sdks.py::test_an_import_leaves_no_thread_and_no_connection_that_a_fork_would_share",
    ),
    "A log contains an event of a newer version: nothing is decided, the machines are kept, and people are told.": (
        "tests/contract/test_newer_log.py::test_its_machines_are_neither_ended_nor_replaced_and_their_leases_are_extended",
        "tests/contract/test_newer_log.py::test_down_and_scale_are_refused_with_the_version_and_the_mend",
        "tests/contract/test_newer_log.py::test_card_and_status_say_so_and_that_money_may_be_missing",
        "tests/contract/test_newer_log.py::test_it_is_logged_once_a_minute_and_without_a_traceback",
    ),
    "HTTP mode gets a huge body, a thousand slow connections, a forged timestamp, a repeated request: each is refused, with bounded memory and threads.": (
        "tests/unit/bot/slack/test_http_server.py::test_a_body_that_is_too_large_or_of_no_stated_size_is_not_read",
        "tests/unit/bot/slack/test_http_server.py::test_a_head_that_is_too_large_is_not_read_to_its_end",
        "tests/unit/bot/slack/test_http_server.py::test_clients_that_send_slowly_are_cut_off_and_block_no_other_client",
        "tests/unit/bot/slack/test_http_server.py::test_clients_that_send_slowly_and_come_again_lock_no_signed_request_out",
        "tests/unit/bot/slack/test_http_server.py::test_more_connections_than_threads_are_answered_with_503",
        "tests/unit/bot/slack/test_http_server.py::test_a_forged_or_old_request_is_refused",
        "tests/unit/bot/slack/test_http_server.py::test_a_request_that_is_sent_again_as_it_was_acts_once",
    ),
    "The value of a button is forged: person, channel and address come from the press and the log.": (
        "tests/unit/bot/commands/test_handlers.py::test_a_forged_choice_asks_nothing_and_a_question_is_asked_by_who_wrote_it_where_they_did",
        "tests/unit/bot/screens/test_values.py::test_a_view_holds_ids_of_stored_things_alone",
        "tests/unit/bot/test_admission.py::test_no_payload_makes_the_bot_send_a_message_to_an_address_that_is_not_slacks",
    ),
    "The log of a deployment is gone from Redis: each command about it says that machines may run on, and where they are listed.": (
        "tests/unit/bot/commands/test_handlers.py::test_a_name_whose_log_is_gone_says_what_may_run_on_and_that_the_name_is_not_free",
    ),
    "The disk of MIXTRAL_HOME is full: machines are listed and ended, files are whole, and leases are extended as soon as there is room.": (
        "tests/contract/test_full_disk.py::test_a_local_machine_is_listed_and_ended_and_its_lease_is_extended_as_soon_as_there_is_room",
        "tests/contract/test_full_disk.py::test_a_machine_that_ends_while_its_disk_is_full_is_noticed",
        "tests/contract/test_full_disk.py::test_the_files_of_an_installation_are_written_whole_or_not_at_all",
        "tests/contract/test_full_disk.py::test_a_worker_starts_on_a_full_disk_with_a_sentence_and_not_with_a_traceback",
    ),
    "Random commands, payloads, recipes and bytes arrive from Slack and by HTTP: no unhandled exception, and nothing grows.": (
        "tests/fuzz/test_slack.py::test_text_of_commands_and_messages",
        "tests/fuzz/test_slack.py::test_envelopes_and_payloads_of_block_kit",
        "tests/fuzz/test_recipes.py::test_recipes",
        "tests/fuzz/test_http.py::test_the_bots_server",
        "tests/fuzz/test_http.py::test_the_gateway",
    ),
    "A cloud, a console or an engine quotes a secret: it is masked before it is in an event or on a card.": (
        "tests/contract/test_masking.py::test_a_secret_that_a_cloud_a_console_or_an_engine_quotes_is_in_no_event_and_no_card",
        "tests/contract/test_masking.py::test_every_event_with_words_of_others_has_a_case",
    ),
    "A cloud gives no answer to a launch call: the next rung is requested beside it, and of two machines one is ended at once.": (
        "tests/contract/test_silence.py::test_a_call_that_is_silent_for_ever_ends_on_the_next_rung_within_20_seconds",
        "tests/contract/test_silence.py::test_of_two_machines_the_dearer_one_is_ended_at_once",
        "tests/contract/test_silence.py::test_a_lost_answer_is_looked_for_by_its_token_booked_and_ended",
        "tests/contract/test_silence.py::test_the_ceiling_holds_for_both_and_the_silent_one_gives_its_place_up_after_a_minute",
        "tests/crash/test_silence.py::test_no_schedule_of_silence_kills_and_late_answers_keeps_two_machines",
    ),
    "Text contains NUL or hidden characters, or MIXTRAL_ADMINS no user ids: it is refused when it is read, and named.": (
        "tests/unit/bot/language/test_hidden.py::test_a_command_with_a_hidden_character_is_refused_and_named",
        "tests/unit/bot/language/test_hidden.py::test_an_input_of_the_launch_form_names_its_hidden_character",
        "tests/unit/bot/test_admins_setting.py::test_what_is_no_id_is_refused_at_start_with_the_place_where_ids_are_found",
        "tests/unit/bot/language/test_hidden.py::test_a_recipe_with_a_hidden_character_is_refused_with_its_line",
        "tests/unit/bot/language/test_hidden.py::test_a_question_keeps_what_a_person_pasted_except_nul",
    ),
    "One person asks a silent cloud for logs again and again: commands of the others are answered, and no thread waits for longer than 10 seconds.": (
        "tests/unit/bot/test_listeners.py::test_a_silent_cloud_and_one_who_asks_it_again_and_again_delay_no_command_of_another",
        "tests/contract/test_places.py::test_the_logs_of_all_replicas_are_read_at_the_same_time",
        "tests/contract/test_places.py::test_logs_without_an_answer_are_read_no_second_time_and_shown_once_they_are_there",
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
