"""The rules that keep tables equal to Stripe, and how each is taken away, as data.

``scripts/take_rules_away.py`` takes them away one by one in a copy of this repository and runs the
tests that are named here: each has to fail. The sections are those of docs/equality.md.
"""

from __future__ import annotations

from dataclasses import dataclass

SYNC = "airflow_provider_stripe_app/sync"
API = "airflow_provider_stripe_app/api"
WAREHOUSE = "airflow_provider_stripe_app/warehouse"
STREAMS = "airflow_provider_stripe_app/streams"

EQUAL = "tests/integration/test_sync_equality.py"
TROUBLE = "tests/integration/test_sync_trouble.py"
CRASHES = "tests/integration/test_sync_crashes.py"
CHILDREN = "tests/integration/test_sync_children.py"
UNTOLD = "tests/integration/test_sync_untold.py"
REQUESTS = "tests/integration/test_sync_requests.py"
CONTRACT = "tests/integration/test_warehouses.py"
AUDIT = "tests/integration/test_audit.py"
CLIENT = "tests/integration/test_client.py"
RULES = "tests/integration/test_sync_rules.py"
REDUCE = "tests/unit/test_sync_reduce.py"
PLAN = "tests/unit/test_sync_plan.py"
FEED = "tests/unit/test_sync_feed.py"
LOAD = "tests/unit/test_sync_load.py"
FETCH = "tests/unit/test_sync_fetch.py"
CATALOG = "tests/unit/test_streams_catalog.py"
SPLIT = "tests/unit/test_split.py"


@dataclass(frozen=True)
class Away:
    """A rule taken away.

    :param section: of the page, for example ``1``.
    :param rule: in words.
    :param file: where it is kept.
    :param old: the text that keeps it.
    :param new: what stands there instead.
    :param test: what has to fail then: ``file::name``.
    """

    section: int
    rule: str
    file: str
    old: str
    new: str
    test: str


AWAY: tuple[Away, ...] = (
    # §1 which version wins
    Away(
        1,
        "of one second, what was read beats an event's payload (rank 2 against 1)",
        f"{SYNC}/versions.py",
        "return sent_at * 10 + 2",
        "return sent_at * 10",
        f"{RULES}::test_what_is_read_in_the_second_that_closes_an_event_closes_it",
    ),
    Away(
        1,
        "an event's payload counts as read L after the event",
        f"{SYNC}/reduce.py",
        "closes_at=event.created + self._lag,",
        "closes_at=event.created,",
        f"{RULES}::test_a_list_that_is_stale_does_not_close_the_event_that_it_missed",
    ),
    Away(
        1,
        "the feed reads only up to now - L",
        f"{SYNC}/feed.py",
        "upto = now - options.lag",
        "upto = now",
        f"{RULES}::test_an_event_may_be_late_by_the_lag_and_the_overlap_together",
    ),
    Away(
        1,
        "L is ten seconds",
        f"{SYNC}/versions.py",
        "LAG = 10",
        "LAG = 0",
        f"{RULES}::test_a_list_that_is_stale_does_not_close_the_event_that_it_missed",
    ),
    Away(
        1,
        "a row is overwritten only by a strictly greater version",
        f"{WAREHOUSE}/sql.py",
        'newer = f"t._version < {version}"',
        'newer = f"t._version <= {version}"',
        f"{CONTRACT}::TestWarehouse::test_an_older_or_equal_version_loses",
    ),
    Away(
        1,
        "a row is not overwritten by an older version",
        f"{WAREHOUSE}/sql.py",
        'newer = f"t._version < {version}"',
        'newer = f"t._version < {version} + 1000000"',
        f"{CONTRACT}::TestWarehouse::test_an_older_or_equal_version_loses",
    ),
    Away(
        1,
        "a version is the second of sending, not of receiving",
        f"{API}/answer.py",
        "return math.floor(date - reply.round_trip)",
        "return date",
        f"{CLIENT}::test_sent_at_is_a_lower_bound_of_stripes_time_of_reading",
    ),
    Away(
        1,
        "time is Stripe's, never the worker's clock",
        f"{API}/answer.py",
        "return math.floor(date - reply.round_trip)",
        "return math.floor(__import__('time').time() - reply.round_trip)",
        f"{CLIENT}::test_sent_at_is_a_lower_bound_of_stripes_time_of_reading",
    ),
    Away(
        1,
        "another event's payload of the same second does not close an event",
        f"{WAREHOUSE}/state.py",
        "AND t._event_id = o.event_id",
        "AND t._event_id = t._event_id",
        f"{CONTRACT}::TestWarehouse::test_obligations_are_settled_by_what_closes_them_only",
    ),
    Away(
        1,
        "an ambiguous second is closed by reading the object only",
        f"{WAREHOUSE}/state.py",
        "OR (NOT o.ambiguous AND t._version",
        "OR (TRUE AND t._version",
        f"{CONTRACT}::TestWarehouse::test_obligations_are_settled_by_what_closes_them_only",
    ),
    Away(
        1,
        "two events of one second leave no payload to trust",
        f"{SYNC}/reduce.py",
        'return replace(old, ambiguous=True, payload=None, effect="upsert")',
        "return old",
        f"{EQUAL}::test_two_events_of_one_second_end_in_the_last_state",
    ),
    Away(
        1,
        "the same, of events that come in different passes",
        f"{WAREHOUSE}/state.py",
        """pick("ambiguous", "TRUE"),""",
        """pick("ambiguous", old("ambiguous")),""",
        f"{CONTRACT}::TestWarehouse::test_the_newest_obligation_stays_and_a_tie_is_ambiguous",
    ),
    # §2 what is owed is stored
    Away(
        2,
        "the cursor is stored together with what is owed",
        f"{SYNC}/feed.py",
        "done=done, owed=done.rest))",
        "done=done, owed=[]))\n"
        "            claim = ctx.claim(FEED)[0]\n"
        "            again = partial(self._commit, claim=claim, state=state, done=done)\n"
        "            ctx.write(partial(again, owed=done.rest))",
        f"{RULES}::test_between_two_transactions_nothing_is_half_done[feed]",
    ),
    Away(
        2,
        "what is owed goes only with a version that closes it",
        f"{WAREHOUSE}/state.py",
        "AND (t._version >= o.closes_at * 10 + 2",
        "AND (TRUE",
        f"{EQUAL}::test_changes_arrive",
    ),
    Away(
        2,
        "events come newest first: the cursor moves when the whole window is read",
        f"{SYNC}/feed.py",
        "more = page.has_more or wanted.deep",
        "more = False",
        f"{RULES}::test_more_events_than_fit_a_page_are_all_read",
    ),
    Away(
        2,
        "a stream that the cursor did not cover is listed again",
        f"{SYNC}/plan.py",
        "coverage is None or coverage.since > state.load_id",
        "False",
        f"{PLAN}::test_everything_is_listed_again_when_the_table_cannot_be_trusted",
    ),
    Away(
        2,
        "children that earlier loads did not cover are listed again",
        f"{SYNC}/plan.py",
        '(bool(missing), f"',
        '(False, f"',
        f"{EQUAL}::test_a_stream_added_later_is_complete",
    ),
    Away(
        2,
        "a stream whose permission was missing is listed again",
        f"{SYNC}/run.py",
        'replace(state, relist="its permission was missing for a while")',
        "state",
        f"{RULES}::test_a_stream_that_was_refused_meanwhile_is_listed_again",
    ),
    Away(
        2,
        "a permission that hides events is found out by the daily sweep",
        f"{SYNC}/feed.py",
        "self.blind = self._blind(old.streams)",
        "self.blind = {}",
        f"{EQUAL}::test_a_permission_that_was_missing_for_a_while_leaves_no_gap",
    ),
    Away(
        2,
        "progress moves only over pages that are merged with it",
        f"{SYNC}/pages.py",
        "if not page.waiting and page.before in left:",
        "if page.before in left:",
        f"{LOAD}::test_a_page_whose_predecessor_waits_for_children_waits_too",
    ),
    Away(
        2,
        "a page's progress is stored in the transaction that merges it",
        f"{SYNC}/load.py",
        "                changes |= self._merger.merge(tx, job.unit, fetched, load",
        "                tx._session.commit()\n"
        "                tx._session.begin()\n"
        "                changes |= self._merger.merge(tx, job.unit, fetched, load",
        f"{RULES}::test_between_two_transactions_nothing_is_half_done[load]",
    ),
    # §3 deletes
    Away(
        3,
        "a canceled subscription lives on",
        f"{SYNC}/reduce.py",
        'effect="gone" if rule.effect == "gone" else "upsert",',
        'effect="gone" if event.type.endswith(".deleted") else "upsert",',
        f"{EQUAL}::test_a_canceled_subscription_is_not_a_deleted_one",
    ),
    Away(
        3,
        "an id that people chose can come back: it is read, not buried",
        f"{SYNC}/reduce.py",
        'effect="gone" if rule.effect == "gone" else "upsert",',
        'effect="gone" if rule.effect in ("gone", "refetch") else "upsert",',
        f"{UNTOLD}::test_a_coupon_that_came_back_under_its_name_lives",
    ),
    Away(
        3,
        "unknown types are counted, never guessed",
        f"{SYNC}/reduce.py",
        "self.unknown[event.type] = self.unknown.get(event.type, 0) + 1",
        "pass",
        f"{REDUCE}::test_unknown_types_are_counted_not_guessed",
    ),
    Away(
        3,
        "rows that a full load has not seen are confirmed",
        f"{SYNC}/run.py",
        "                WorkOff(self._ctx, unit, self._states[unit.name]).unseen()",
        "                pass",
        f"{EQUAL}::test_a_full_sync_sees_what_no_event_told",
    ),
    Away(
        3,
        "... by reading each: the list may just not have shown it",
        f"{SYNC}/workoff.py",
        'got = self._refetch(pool, ids, "confirm")',
        "got = Refetched(left_out=list(ids), read_at=load_id + 100)",
        f"{RULES}::test_a_row_that_a_full_list_did_not_show_is_asked_for_before_it_is_buried",
    ),
    Away(
        3,
        "a listed row is seen even when it loses",
        f"{WAREHOUSE}/merge.py",
        "if batch.load_id is not None and tally.staged > tally.won:",
        "if False:",
        f"{CONTRACT}::TestWarehouse::test_a_full_load_marks_rows_that_lose_as_seen",
    ),
    Away(
        3,
        "a tombstone of an unknown row is kept against older pages",
        f"{WAREHOUSE}/sql.py",
        '_TO_TYPE = "(w.is_new OR (w.deleted_at IS NULL AND NOT w.same_raw))"',
        '_TO_TYPE = "(w.deleted_at IS NULL AND (w.is_new OR NOT w.same_raw))"',
        f"{CONTRACT}::TestWarehouse::test_a_tombstone_of_an_unknown_row_is_kept_against_older_pages",
    ),
    # §4 long loads and silence
    Away(
        4,
        "the feed keeps what is owed from the second at which a load began",
        f"{SYNC}/run.py",
        "            feed = self._feed.run_unless_others_did()\n        self._fail_uncovered(feed)",
        "            feed = self._feed.run({u.name: None for u in loads}, fresh=True)\n"
        "        self._fail_uncovered(self._feed.run({}))",
        f"{EQUAL}::test_what_changes_during_the_load_is_in_the_tables",
    ),
    Away(
        4,
        "the feed runs beside a long load",
        f"{SYNC}/run.py",
        "if time.monotonic() - self._fed_at >= self._ctx.options.feed_interval:",
        "if False:",
        f"{RULES}::test_the_change_feed_runs_beside_a_long_load",
    ),
    Away(
        4,
        "a gap is looked for at the end of a pass: events can be cut off while they are read",
        f"{SYNC}/feed.py",
        "        if has_gap(old, last_date, options.overlap):",
        "        if False:",
        f"{RULES}::test_a_pass_that_outlasts_the_events_is_a_gap",
    ),
    Away(
        4,
        "no create events: the newest objects are listed",
        f"{SYNC}/recheck.py",
        'if stream.creates or state.phase != "live":',
        "if True:",
        f"{UNTOLD}::test_new_objects_that_no_event_tells_of_come_when_something_has_happened",
    ),
    Away(
        4,
        "no update events: open objects are read again every day",
        f"{SYNC}/recheck.py",
        'if stream.open_while is None or state.phase != "live":',
        "if True:",
        f"{UNTOLD}::test_open_objects_are_read_again_every_day_and_no_others",
    ),
    Away(
        4,
        "... and everything is listed again every week",
        f"{SYNC}/recheck.py",
        'if days is None or not stream.relisted or state.phase != "live":',
        "if True:",
        f"{UNTOLD}::test_what_only_a_full_list_shows_is_there_after_a_week",
    ),
    Away(
        4,
        "each pass reads a little behind its cursor",
        f"{SYNC}/feed.py",
        "gte = state.cursor - overlap",
        "gte = state.cursor",
        f"{EQUAL}::test_an_event_that_becomes_visible_late_is_not_lost",
    ),
    Away(
        4,
        "a daily sweep finds the very late events",
        f"{SYNC}/feed.py",
        "if now - state.swept_at >= DEEP_SWEEP_EVERY:",
        "if False:",
        f"{EQUAL}::test_an_event_later_than_any_overlap_is_found_by_the_daily_sweep",
    ),
    # §5 paging and ranges
    Away(
        5,
        "a deleted cursor's list goes on from its second",
        f"{API}/ranges.py",
        "return Range(before.gte, before.last_created + 1)",
        "return Range(before.gte, before.last_created)",
        "tests/unit/test_ranges.py::test_deleted_cursors_lose_nothing_and_repeat_only_their_second",
    ),
    Away(
        5,
        "objects of test clocks are left out of the feed as of lists",
        f"{SYNC}/reduce.py",
        'return data.get("test_clock") is not None',
        "return False",
        f"{EQUAL}::test_objects_of_test_clocks_are_left_out_of_lists_and_feed_alike",
    ),
    Away(
        5,
        "of an id twice in a batch one is merged",
        f"{WAREHOUSE}/sql.py",
        "WHERE s.place = 1 AND (t.id IS NULL OR {newer})",
        "WHERE (t.id IS NULL OR {newer})",
        f"{CONTRACT}::TestWarehouse::test_of_an_id_twice_the_highest_version_wins_and_the_last_among_equals",
    ),
    Away(
        5,
        "... with its own children, not with the other one's",
        f"{SYNC}/fetch.py",
        "if known is None or one.row.version >= known.row.version:",
        "if known is None:",
        f"{FETCH}::test_of_an_object_read_twice_only_the_newer_ones_children_are_kept",
    ),
    # §6 children
    Away(
        6,
        "a child set is as old as its first page",
        f"{SYNC}/fetch.py",
        "first_sent = page.sent_at if first_sent is None else first_sent",
        "first_sent = page.sent_at + 30",
        f"{RULES}::test_children_are_as_old_as_their_first_page",
    ),
    Away(
        6,
        "the parent is read again after its children",
        f"{SYNC}/fetch.py",
        "stood_still = _same(stream, item, before)",
        "stood_still = True",
        f"{EQUAL}::test_lines_that_change_without_an_event_while_they_are_paged_are_read_again",
    ),
    Away(
        6,
        "... also where one look at the page serves all parents",
        f"{SYNC}/fetch.py",
        "elif read is not None and _same(unit.stream, item, before):",
        "elif read is not None:",
        f"{CHILDREN}::test_a_parent_that_changed_silently_meanwhile_is_read_again",
    ),
    Away(
        6,
        "a parent that never stands still stays owed",
        f"{SYNC}/fetch.py",
        "    if not stood_still:\n",
        "    if False:\n",
        f"{RULES}::test_a_parent_that_never_stands_still_stays_owed",
    ),
    Away(
        6,
        "children are replaced only of parents that won",
        f"{WAREHOUSE}/merge.py",
        "sql.parents(self.won)",
        "sql.parents(self.stage)",
        f"{CONTRACT}::TestWarehouse::test_children_of_a_parent_that_loses_are_left_alone",
    ),
    Away(
        6,
        "an incomplete child set replaces nothing",
        f"{SYNC}/fetch.py",
        "return not unit.children or item.children_complete",
        "return True",
        f"{EQUAL}::test_an_invoice_with_250_lines_is_complete",
    ),
    # §7 fences and commits
    Away(
        7,
        "a stale writer cannot commit",
        f"{WAREHOUSE}/state.py",
        "    if written != 1:\n        session.spoil",
        "    if False:\n        session.spoil",
        f"{CRASHES}::test_a_run_that_was_overtaken_cannot_commit",
    ),
    Away(
        7,
        "DuckDB sees the conflict with a claim: both write the same columns",
        f"{WAREHOUSE}/state.py",
        '''f"UPDATE {table} SET fence = fence, batch = batch + 1, state = coalesce(?, state), "
        f"lease_until = {now} + ?, updated_at = {session.dialect.timestamp(now)} "''',
        '''f"UPDATE {table} SET batch = batch + 1, "
        "state = coalesce(?, state, CAST(? AS VARCHAR)) "''',
        f"{RULES}::test_whoever_was_overtaken_within_a_transaction_cannot_commit",
    ),
    Away(
        7,
        "every merge begins with the fence",
        f"{SYNC}/workoff.py",
        "            tx.advance(claim, None)\n            changes =",
        "            changes =",
        f"{RULES}::test_every_merge_begins_with_the_fence",
    ),
    Away(
        7,
        "SQLite's transactions begin as writers",
        f"{WAREHOUSE}/sqlite.py",
        'self._patiently("BEGIN IMMEDIATE")',
        'self._patiently("BEGIN")',
        f"{RULES}::test_a_transaction_of_sqlite_is_a_writer_from_its_beginning",
    ),
    Away(
        7,
        "after a swallowed error nothing is committed",
        f"{WAREHOUSE}/session.py",
        "        if self.failed is not None:",
        "        if False:",
        f"{CONTRACT}::TestWarehouse::test_a_swallowed_error_does_not_commit",
    ),
    Away(
        7,
        "a commit is read back",
        f"{WAREHOUSE}/transaction.py",
        "                transaction.verify()",
        "                pass",
        f"{CONTRACT}::TestWarehouse::test_a_commit_that_commits_nothing_is_noticed",
    ),
    # §8 bytes and types
    Away(
        8,
        "a payload of another version is only a signal",
        f"{SYNC}/reduce.py",
        "and event.api_version == API_VERSION",
        "and event.api_version != 'none'",
        f"{REDUCE}::test_a_payload_of_another_version_is_only_a_signal",
    ),
    Away(
        8,
        "an upgrade is a full re-list",
        f"{SYNC}/plan.py",
        "            state.api_version != API_VERSION,\n",
        "            False,\n",
        f"{PLAN}::test_everything_is_listed_again_when_the_table_cannot_be_trusted",
    ),
    Away(
        8,
        "what is read in our API version replaces the shape of another, whatever its version",
        f"{WAREHOUSE}/sql.py",
        'return f"(t._api_version <> {literal(pinned)} AND NOT t.is_deleted)"',
        'return "(1 = 0)"',
        f"{CONTRACT}::TestWarehouse::test_what_is_read_in_our_api_version_replaces_the_shape_of_another",
    ),
    Away(
        8,
        "a writer below the table's schema version is refused",
        f"{WAREHOUSE}/tables.py",
        "if version is not None and version > schema_version:",
        "if False:",
        f"{CONTRACT}::TestWarehouse::test_an_older_provider_does_not_write_a_newer_table",
    ),
    Away(
        8,
        "text that engines refuse is mended for typing only",
        f"{API}/split.py",
        "if _SUSPECT.search(body) is None:",
        "if True:",
        f"{SPLIT}::test_nul_and_lone_surrogates_are_replaced_by_as_many_bytes",
    ),
    Away(
        8,
        "`_raw` is what Stripe sent, byte for byte",
        f"{WAREHOUSE}/sql.py",
        "s.parent_id, s.raw, coalesce(s.typed_from, s.raw) AS doc",
        "s.parent_id, coalesce(s.typed_from, s.raw) AS raw, coalesce(s.typed_from, s.raw) AS doc",
        f"{EQUAL}::test_raw_is_what_stripe_sent_byte_for_byte",
    ),
    Away(
        8,
        "an integer column takes a JSON integer of 64 bits only",
        f"{WAREHOUSE}/sqlite.py",
        "exact = f\"CAST({integer} AS TEXT) = {leaf} OR {leaf} = '-0'\"",
        'exact = "1 = 1"',
        f"{CONTRACT}::TestWarehouse::test_every_warehouse_types_as_the_reference_does",
    ),
    Away(
        8,
        "field names that clash get columns of their own",
        f"{WAREHOUSE}/columns.py",
        "    if len(name) <= limit and name not in taken:",
        "    if len(name) <= limit:",
        f"{CONTRACT}::TestWarehouse::test_field_names_that_clash_get_columns_of_their_own",
    ),
    Away(
        8,
        "a new column is filled from `_raw`",
        f"{WAREHOUSE}/tables.py",
        "        _refill_page(session, target, slots, page)",
        "        del page[:-1]",
        f"{CONTRACT}::TestWarehouse::test_unknown_fields_become_typed_columns_and_old_rows_are_filled",
    ),
    # §9 audit
    Away(
        9,
        "fields that differ at every read are no difference",
        f"{SYNC}/audit/verdict.py",
        "if not _under(path, stream.volatile)",
        "if True",
        "tests/unit/test_audit_decisions.py::test_links_made_anew_at_every_read_are_no_difference",
    ),
    Away(
        9,
        "what no event tells is told apart",
        f"{SYNC}/audit/verdict.py",
        'loud = [".".join(path) or "_raw" for path in paths if not _under(path, stream.silent)]',
        'loud = [".".join(path) or "_raw" for path in paths]',
        "tests/unit/test_audit_decisions.py::test_what_stripe_changes_without_an_event_is_told_apart",
    ),
    Away(
        9,
        "what an open event explains is no difference",
        f"{SYNC}/audit/verdict.py",
        'return "due" if any(open_ones) else "stands"',
        'return "stands"',
        f"{AUDIT}::test_what_the_next_sync_does_is_not_yet_due",
    ),
    Away(
        9,
        "what a sync has written meanwhile is looked at again",
        f"{SYNC}/audit/verdict.py",
        "    if now.version != seen_at:",
        "    if False:",
        "tests/unit/test_audit_decisions.py::test_a_difference_stands_only_if_no_sync_will_mend_it",
    ),
    Away(
        9,
        "mending goes around the guard of versions",
        f"{SYNC}/audit/inspect.py",
        "tx.reopen(unit.stream, account, rewrite, rewrite=True)",
        "pass",
        f"{AUDIT}::test_whatever_hands_did_to_rows_is_found_and_mended",
    ),
    Away(
        9,
        "mending holds the streams' leases",
        f"{SYNC}/audit/run.py",
        "self._ctx.claim(*names)",
        "pass",
        f"{AUDIT}::test_mending_waits_for_a_running_sync_and_then_says_whose",
    ),
    Away(
        9,
        "objects older than the start date are dropped from the feed too",
        f"{SYNC}/reduce.py",
        "        return True\n    return data",
        "        return False\n    return data",
        f"{EQUAL}::test_a_start_date_bounds_lists_and_feed_alike",
    ),
)
