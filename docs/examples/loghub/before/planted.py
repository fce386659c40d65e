"""What each test of this suite forgets, counted by reading it, and the lines that begin what is left.

A line is found by its comment ``# begins: WHAT``.
"""

BEGUN = {
    "hub thread": ("thread", "loghub.py"),
    "heartbeat": ("task", "loghub.py"),
    "archive": ("thread", "loghub.py"),
    "connection": ("task", "loghub.py"),
    "writer": ("task", "loghub.py"),
    "client": ("task", "viewing.py"),
    "feed": ("task", "viewing.py"),
    "source": ("thread", "viewing.py"),
}
"""What is begun -> its kind and the file of its line."""

LEFT = {
    "hub": ("hub thread", "heartbeat"),
    "archiving hub": ("hub thread", "heartbeat", "archive"),
    "view": ("client", "connection", "writer"),
    "registered": ("writer",),
    "feed": ("feed",),
    "source": ("source",),
}
"""What a test forgets -> what goes on because of it: of a view, for instance, something at both ends."""

FORGOTTEN = {
    "AdmissionTests": {
        "test_a_client_is_registered": {"hub": 1, "view": 1},
        "test_every_client_is_registered": {"hub": 1, "view": 3},
        "test_a_client_that_leaves_is_unregistered": {"hub": 1},
        "test_a_client_that_breaks_off_is_unregistered": {"hub": 1},
        "test_one_that_leaves_takes_no_other_along": {"hub": 1, "view": 1},
    },
    "ArchiveTests": {
        "test_every_record_is_archived": {"archiving hub": 1},
        "test_what_nobody_wants_to_see_is_archived": {"archiving hub": 1, "view": 1},
    },
    "AuthenticationTests": {None: {"hub": 1}},
    "BroadcastTests": {
        "test_a_record_comes_as_it_was_published": {"hub": 1, "view": 1},
        "test_a_record_reaches_every_client": {"hub": 1, "view": 5},
        "test_records_come_in_order": {"hub": 1, "view": 1},
        "test_who_comes_late_has_missed_it": {"hub": 1, "view": 2},
        "test_what_a_client_logs_reaches_the_others": {"hub": 1, "view": 2},
        "test_what_a_client_logs_reaches_itself": {"hub": 1, "view": 1},
        "test_a_source_in_a_thread_is_streamed": {"hub": 1, "view": 1, "feed": 1, "source": 1},
        "test_records_of_two_sources_are_mixed": {"hub": 1, "view": 1, "feed": 1, "source": 2},
    },
    "ConnectionTests": {
        "test_registering_sends_a_welcome": {"registered": 1},
        "test_broadcast_says_how_many_are_to_get_it": {"registered": 3},
    },
    "FilterTests": {
        "test_a_client_sees_its_level_and_above": {"hub": 1, "view": 1},
        "test_without_a_filter_everything_comes": {"hub": 1, "view": 1},
        "test_a_client_sees_its_source": {"hub": 1, "view": 1},
        "test_a_source_may_be_a_glob": {"hub": 1, "view": 1},
        "test_level_and_source_must_both_pass": {"hub": 1, "view": 1},
        "test_each_client_has_its_own": {"hub": 1, "view": 2},
        "test_the_last_one_holds": {"hub": 1, "view": 1},
        "test_the_answer_has_the_filter": {"hub": 1, "view": 1},
        "test_an_unknown_level_is_refused": {"hub": 1, "view": 1},
    },
    "HeartbeatTests": {
        "test_who_answers_stays_and_who_is_silent_is_dropped": {"hub": 1, "view": 1, "feed": 1},
        "test_heartbeats_are_numbered": {"hub": 1, "view": 1, "feed": 1},
        "test_a_heartbeat_reaches_every_client": {"hub": 1, "view": 3, "feed": 3},
        "test_records_come_between_heartbeats": {"hub": 1, "view": 1, "feed": 1},
    },
    "PermissionTests": {
        "test_a_reader_may_not_write": {"hub": 1, "view": 1},
        "test_a_writer_may_read": {"hub": 1, "view": 1},
        "test_what_is_no_json_is_answered": {"hub": 1, "view": 1},
        "test_an_unknown_op_is_answered": {"hub": 1, "view": 1},
        "test_a_connection_survives_its_errors": {"hub": 1, "view": 1},
    },
    "QueueTests": {
        "test_a_full_queue_loses_its_oldest": {"registered": 1},
        "test_a_slow_client_holds_up_no_other": {"registered": 2},
        "test_a_client_that_is_quick_again_gets_the_newest": {"registered": 1},
    },
    "ThroughputTests": {
        "test_a_thousand_records_in_five_seconds": {"hub": 1, "view": 1, "feed": 1},
        "test_many_clients_see_every_record": {"hub": 1, "view": 10, "feed": 10},
        "test_many_sources_are_streamed_at_once": {"hub": 1, "view": 1, "feed": 1, "source": 4},
    },
}
"""Class -> test -> what it forgets, and how many; None is the class's own fixtures. Tests not named are clean."""
