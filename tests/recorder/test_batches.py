from __future__ import annotations

import pytest
from recorder.cutting import cut_of, make_assembler, result_of
from recorder.onebyone import SNAPLEN
from recorder.rawrecords import (
    ADDRESS,
    NO_PAYLOAD,
    OFFSET,
    PART_LOST,
    SOURCE,
    UNSENT,
    enter,
    extra_of,
    leave,
    part,
    reread,
    sent,
    target,
)

from wcap.batch import COLUMNS
from wcap.events import EventFlag, Target
from wcap.recorder.joining import SENDMMSG
from wcap.syscalls import SYSCALLS


@pytest.mark.parametrize(
    ("payload", "failed", "count", "flags"),
    [
        (b"all", False, 3, EventFlag.READ_AT_EXIT),
        (b"x" * SNAPLEN, False, 99, EventFlag.READ_AT_EXIT | EventFlag.TRUNCATED),
        (b"par", True, 9, EventFlag.READ_AT_EXIT | EventFlag.UNREADABLE),
        (b"", True, 9, EventFlag.UNREADABLE),
    ],
    ids=["whole", "up to snaplen", "in part", "not at all"],
)
def test_what_could_not_be_read_at_first_is_what_was_read_at_exit(payload, failed, count, flags):
    cut = cut_of(
        enter(b"before", tid=1, time_ns=1, sequence=1),
        enter(tid=2, time_ns=2, sequence=2, count=count, unreadable=True),
        enter(b"after", tid=3, time_ns=3, sequence=3),
        reread(payload, 9, failed=failed, tid=2, time_ns=4),
        last=True,
    )

    assert list(cut.batch.payloads()) == [b"before", payload, b"after"]
    assert cut.batch.captured.tolist() == [6, len(payload), 5]
    assert list(cut.batch)[1].flags == flags
    assert result_of(list(cut.batch)[1]) == (9, 2)


def test_a_payload_that_was_read_is_never_replaced_by_that_of_another_write():
    cut = cut_of(
        enter(b"mine", time_ns=1),
        reread(b"of a write whose beginning was lost", 9, time_ns=2),
    )

    assert list(cut.batch.payloads()) == [b"mine"]
    assert cut.batch.flags.tolist() == [0]


def test_what_was_never_read_is_flagged_and_never_taken_for_empty():
    cut = cut_of(enter(count=5, unreadable=True), leave(5, time_ns=1))

    assert [event.flags for event in cut.batch] == [EventFlag.UNREADABLE]
    assert cut.batch.count.tolist() == [5]


def only(cut):
    """Return the one event of a cut."""
    [event] = cut.batch
    return event


def test_what_was_read_at_exit_stands_behind_what_was_read_before():
    event = only(cut_of(enter(b"abc", count=6, unreadable=True), reread(b"def", 6, time_ns=1)))

    assert event.data == b"abcdef"
    assert event.flags == EventFlag.READ_AT_EXIT


def test_what_was_read_before_stays_when_the_rest_cannot_be_read_at_exit_either():
    event = only(
        cut_of(enter(b"abc", count=6, unreadable=True), reread(b"", 6, failed=True, time_ns=1))
    )

    assert event.data == b"abc"
    assert event.flags == EventFlag.UNREADABLE


def test_of_a_vector_that_was_readable_only_at_exit_the_whole_count_is_told():
    of_vector = enter(count=0, unreadable=True, syscall=SYSCALLS.index("writev"))

    whole = only(cut_of(of_vector, reread(b"abc", 3, asked=3, time_ns=1)))
    cut = only(cut_of(of_vector, reread(b"x" * SNAPLEN, 99, asked=99, time_ns=1)))

    assert (whole.count, whole.data, whole.flags) == (3, b"abc", EventFlag.READ_AT_EXIT)
    assert cut.count == 99
    assert cut.flags == EventFlag.READ_AT_EXIT | EventFlag.TRUNCATED


def test_of_a_payload_of_which_a_part_was_lost_the_beginning_is_kept_and_the_loss_told():
    event = only(
        cut_of(part(b"abc", sequence=1), enter(count=9, flags=PART_LOST), leave(9, time_ns=1))
    )

    assert event.data == b"abc"
    assert event.flags == EventFlag.PAYLOAD_LOST
    assert result_of(event) == (9, 1)


def test_a_part_that_is_lost_at_exit_is_told_as_well():
    event = only(
        cut_of(
            enter(b"a", count=9, unreadable=True),
            part(b"bc", end_ns=1),
            reread(b"", 9, flags=PART_LOST, time_ns=1),
        )
    )

    assert event.data == b"abc"
    assert event.flags == EventFlag.READ_AT_EXIT | EventFlag.PAYLOAD_LOST


@pytest.mark.parametrize(
    ("facts", "flags"),
    [
        ({"count": 4}, EventFlag(0)),
        ({"count": 5}, EventFlag.TRUNCATED),
        ({"count": 2**64 - 1}, EventFlag.TRUNCATED),
        ({"count": 5, "unreadable": True}, EventFlag.UNREADABLE),
        ({"count": 5, "flags": PART_LOST}, EventFlag.PAYLOAD_LOST),
        ({"count": 5, "flags": NO_PAYLOAD}, EventFlag.NO_PAYLOAD),
    ],
)
def test_a_payload_is_called_truncated_exactly_when_nothing_else_explains_that_it_is_short(
    facts, flags
):
    assert only(cut_of(enter(b"abcd", **facts), leave(time_ns=1))).flags == flags


def messages(*, number=3, time_ns=0, at_exit=None, flags=()):
    """Return the records of the messages of one call; ``at_exit`` are their results."""
    return [
        enter(
            b"m%d" % place,
            syscall=SENDMMSG,
            sequence=place + 1,
            time_ns=time_ns,
            extra=extra_of(message=place),
            returned=None if at_exit is None else at_exit[place],
            flags=flags[place] if flags else 0,
        )
        for place in range(number)
    ]


def told_of(events):
    return [(event.returned, event.duration_ns, event.flags) for event in events]


NONE, UNSENT_FLAG, LOST = EventFlag(0), EventFlag.UNSENT, EventFlag.RESULT_LOST


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (sent([2, 2, 1], 3, time_ns=7), [(2, 7, NONE), (2, 7, NONE), (1, 7, NONE)]),
        (sent([2], 1, time_ns=7), [(2, 7, NONE), (None, None, UNSENT_FLAG)]),
        (sent([], 0, time_ns=7), [(None, None, UNSENT_FLAG)]),
        (sent([], -32, time_ns=7), [(-32, 7, NONE), (None, None, UNSENT_FLAG)]),
        (sent([2], 3, time_ns=7), [(2, 7, NONE), (None, None, LOST), (None, None, LOST)]),
        (leave(2, time_ns=7), [(None, None, LOST), (None, None, LOST), (None, None, UNSENT_FLAG)]),
        (leave(-32, time_ns=7), [(-32, 7, NONE), (None, None, UNSENT_FLAG)]),
    ],
    ids=[
        *("all sent", "one sent", "none sent", "an error", "only one told", "none told"),
        "an error of which no message is told",
    ],
)
def test_messages_after_those_that_a_call_returned_were_not_sent_and_an_error_is_the_firsts(
    end, expected
):
    expected += expected[-1:] * (3 - len(expected))

    assert told_of(cut_of(*messages(), end).batch) == expected


def test_messages_that_were_lost_do_not_shift_the_results_of_the_others():
    first, _, third = messages()

    cut = cut_of(first, third, sent([10, 20, 30], 3, time_ns=1))

    assert [event.returned for event in cut.batch] == [10, 30]
    assert [(gap.first_sequence, gap.count) for gap in cut.gaps] == [(2, 1)]


def test_a_call_recorded_at_its_exit_has_its_result_no_duration_and_is_never_unfinished():
    cut = cut_of(
        enter(b"a", returned=1, time_ns=1),
        enter(b"b", returned=-32, time_ns=2, sequence=2),
        enter(b"c", returned=2**40, time_ns=3, sequence=3, count=9),
        assembler=make_assembler(at_exit=True),
    )

    at_exit = EventFlag.AT_EXIT
    assert told_of(cut.batch) == [
        (1, None, at_exit),
        (-32, None, at_exit),
        (2**40, None, at_exit | EventFlag.TRUNCATED),
    ]


def test_messages_recorded_at_exit_that_were_not_sent_have_no_result():
    raw = messages(number=2, at_exit=[5, 77], flags=[0, UNSENT])

    cut = cut_of(*raw, assembler=make_assembler(at_exit=True))

    assert told_of(cut.batch) == [
        (5, None, EventFlag.AT_EXIT),
        (None, None, EventFlag.AT_EXIT | EventFlag.UNSENT),
    ]


def test_offsets_sources_and_addresses_are_told_of_the_calls_that_have_them_and_no_others():
    moved = {"syscall": SYSCALLS.index("sendfile"), "count": 7}
    cut = cut_of(
        target(3, path=b"from\0", inode=9),
        target(4, path=b"to\0", inode=8),
        enter(b"a", time_ns=1, target=4),
        enter(b"b", time_ns=2, sequence=2, flags=OFFSET, extra=extra_of(offset=2**40)),
        enter(
            **{**moved, "time_ns": 3, "sequence": 3, "flags": SOURCE | NO_PAYLOAD, "target": 4},
            extra=extra_of(source_fd=6, source=3),
        ),
        enter(b"d", time_ns=4, sequence=4, flags=ADDRESS, extra=extra_of(address=b"\1\0/sock")),
        last=True,
    )

    source, to = (
        Target("file", path=path, inode=inode, device=(0, 0))
        for path, inode in (("/from", 9), ("/to", 8))
    )
    events = list(cut.batch)
    assert [event.offset for event in events] == [None, 2**40, None, None]
    assert [event.source_fd for event in events] == [None, None, 6, None]
    assert [event.source for event in events] == [None, None, source, None]
    assert [event.address for event in events] == [None, None, None, "/sock"]
    assert [event.target for event in events] == [to, Target(), to, Target()]


def test_one_address_of_many_messages_stands_in_the_table_once():
    extra = extra_of(address=b"\2\0\0\x50\x7f\0\0\1")
    raw = [enter(b"x", time_ns=n, sequence=n + 1, flags=ADDRESS, extra=extra) for n in range(9)]

    batch = cut_of(*raw, last=True).batch

    assert batch.addresses == ["127.0.0.1:80"]
    assert {event.address for event in batch} == {"127.0.0.1:80"}


def test_what_no_call_has_takes_no_column():
    plain = cut_of(enter(b"a"), last=True).batch

    assert plain.addresses == []
    assert set(plain._columns) == COLUMNS.keys() - {"offset", "source_fd", "source", "address"}


@pytest.mark.parametrize("at_exit", [False, True])
def test_columns_have_the_types_that_a_batch_promises(at_exit):
    assembler = make_assembler(at_exit=at_exit)
    returned = 0 if at_exit else None
    raw = enter(b"a", flags=OFFSET, extra=extra_of(offset=1), returned=returned)
    cut_of(raw, settled=0, assembler=assembler)
    plain = enter(b"b", time_ns=1, sequence=2, tid=9, returned=returned)

    batch = cut_of(plain, assembler=assembler, last=True).batch

    for name, kind in COLUMNS.items():
        assert batch.column(name).dtype == kind, name
