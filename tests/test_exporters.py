from __future__ import annotations

import base64
import csv
import gc
import io
import itertools
import json
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import STARTED_NS, batch_of, write

from wcap.batch import EventBatch
from wcap.errors import FilterError, UnknownFormatError
from wcap.escape import escape_text
from wcap.events import EventFlag, Target
from wcap.exporters import EXPORTERS, find, jsonl
from wcap.exporters.shared import SLICE_ROWS, PayloadForm, Recurring, parse_forms

DOCS = Path(__file__).parent.parent / "docs" / "export.md"

payloads = st.binary(max_size=200) | st.text().map(str.encode)
# What the kernel can give as a name, decoded as the reader does it.
comms = st.binary(min_size=1, max_size=15).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


def exported(name: str, *batches: EventBatch, data: str | None = None) -> str:
    exporter = find(name)
    forms = exporter.forms if data is None else parse_forms(data)
    out = io.BytesIO()
    out.write(exporter.head(forms))
    for batch in batches:
        out.writelines(exporter.rows(batch, forms))
    return out.getvalue().decode()


def csv_rows(*batches: EventBatch, data: str | None = None) -> list[dict[str, str]]:
    text = exported("csv", *batches, data=data)
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def json_rows(*batches: EventBatch, data: str | None = None) -> list[dict]:
    return [json.loads(line) for line in exported("jsonl", *batches, data=data).splitlines()]


def test_every_exporter_is_documented():
    text = DOCS.read_text()

    for name, exporter in EXPORTERS.items():
        assert name == exporter.name
        assert f"`{name}`" in text
        assert exporter.summary in text


def test_an_unknown_format_is_answered_with_those_there_are():
    with pytest.raises(UnknownFormatError, match="csv, jsonl expected, 'parquet' found"):
        find("parquet")


def test_payload_forms_come_in_one_order_and_once():
    assert parse_forms("hex, text,hex") == (PayloadForm.TEXT, PayloadForm.HEX)
    assert parse_forms("none") == ()


@pytest.mark.parametrize("given_forms", ["", "txt", "text,none", "TEXT"])
def test_an_unknown_payload_form_is_refused(given_forms):
    with pytest.raises(FilterError, match="text, base64, hex or none expected"):
        parse_forms(given_forms)


@pytest.mark.parametrize("name", EXPORTERS)
def test_events_keep_their_order_and_number_over_many_slices(name):
    many = batch_of(*(write(b"%d\n" % i, after_ns=i) for i in range(2 * SLICE_ROWS + 7)))
    read = {"csv": csv_rows, "jsonl": json_rows}[name]

    rows = read(many, batch_of(write(b"last", after_ns=10**9)))

    assert [int(row["sequence"]) for row in rows[:-1]] == list(range(1, 2 * SLICE_ROWS + 8))
    assert rows[-1]["text"] == "last"


@pytest.mark.parametrize("values", [[7], [-3, 5], [0, 1 << 63, (1 << 64) - 1]], ids=str)
@pytest.mark.parametrize("others", [[0], [-(1 << 63), (1 << 63) - 1], [False, True]], ids=str)
def test_what_recurs_is_formatted_once(values, others):
    pairs = list(itertools.product(values, others)) * 3
    kind = np.int64 if min(values) < 0 else np.uint64
    made = []

    def form(value, other):
        made.append((value, other))
        return f"{value}/{int(other)}"

    columns = [np.array([pair[0] for pair in pairs], kind), np.array([pair[1] for pair in pairs])]
    texts = Recurring(form, *columns).of(slice(1, None))

    expected = [f"{value}/{int(other)}" for value, other in pairs[1:]]
    assert texts == (expected[0] if len(set(pairs)) == 1 else expected)
    assert len(made) == len(set(pairs))


@pytest.mark.parametrize("name", EXPORTERS)
def test_a_batch_is_let_go_of_at_once(name):
    batch = batch_of(write(b"one", fd=1), write(b"other", fd=2))
    seen = weakref.ref(batch.column("fd"))
    exporter = find(name)
    gc.disable()
    try:
        b"".join(exporter.rows(batch, exporter.forms))
        del batch
        assert seen() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("name", EXPORTERS)
def test_any_payload_and_name_can_be_taken_back_from_base64_and_hex(name):
    read = {"csv": csv_rows, "jsonl": json_rows}[name]

    @given(st.lists(st.tuples(payloads, comms), min_size=1, max_size=5))
    def taken_back(events):
        batch = batch_of(*(write(data, comm=comm) for data, comm in events))

        rows = read(batch, data="text,base64,hex")

        assert [base64.b64decode(row["data_b64"]) for row in rows] == [data for data, _ in events]
        assert [bytes.fromhex(row["data_hex"]) for row in rows] == [data for data, _ in events]

    taken_back()


@pytest.mark.parametrize("name", EXPORTERS)
def test_no_control_character_but_line_ends_comes_out(name):
    every_byte = bytes(range(256))
    marks = "\x85\x9b\u202e\u2028\u200f".encode()
    hostile = batch_of(write(every_byte, comm="\x1b[2J\x9b\x7f\n"), write(marks), write(b"\x7f"))

    text = exported(name, hostile)

    assert text.replace("\r\n", "").replace("\n", "").isprintable()


@pytest.mark.parametrize("name", EXPORTERS)
def test_payloads_are_left_out_when_asked(name):
    text = exported(name, batch_of(write(b"secret")), data="none")

    assert "secret" not in text
    assert "text" not in text
    assert "data" not in text


def test_a_json_line_holds_all_that_is_known_in_a_fixed_order():
    batch = batch_of(
        write(
            b"hi\xff\n",
            pid=7,
            tid=8,
            ppid=6,
            comm="nginx",
            fd=2,
            count=9,
            returned=5,
            cpu=3,
            flags=EventFlag.TRUNCATED | EventFlag.READ_AT_EXIT,
        )
    )

    line = jsonl.format_batch(batch)

    assert line == (
        f'{{"time_ns":{STARTED_NS},"pid":7,"tid":8,"ppid":6,"comm":"nginx","syscall":"write",'
        '"fd":2,"count":9,"captured":4,"returned":5,"duration_ns":1500,"cpu":3,"sequence":1,'
        '"flags":["truncated","read_at_exit"],"target":null,"target_kind":null,"offset":null,'
        '"source_fd":null,"source":null,"address":null,"host":null,'
        '"text":"hi\\ufffd\\n","data_b64":"aGn/Cg=="}\n'
    )


FILE = Target("file", "/var/log/x", deleted=True)
SOCKET = Target("udp", local="[::1]:5", peer="[::1]:80")
PLACES = ("target", "target_kind", "offset", "source_fd", "source", "address")


def places(row: dict) -> list:
    return [row[name] for name in PLACES]


def test_json_says_where_to_and_has_null_for_what_a_call_does_not_have():
    batch = batch_of(
        write(target=FILE, offset=-1),
        write(),
        write(target=SOCKET, address="[::1]:53"),
        write(target=SOCKET, source_fd=4, source=FILE, offset=2**63 - 1),
        write(source_fd=0),
        write(target=Target("file", "/\udcff")),
    )

    rows = json_rows(batch)

    log, udp = "/var/log/x (deleted)", "udp [::1]:5→[::1]:80"
    assert [places(row) for row in rows] == [
        [log, "file", -1, None, None, None],
        [None, None, None, None, None, None],
        [udp, "udp", None, None, None, "[::1]:53"],
        [udp, "udp", 2**63 - 1, 4, log, None],
        [None, None, None, 0, None, None],
        ["/\ufffd", "file", None, None, None, None],
    ]
    assert len({tuple(row) for row in rows}) == 1


def test_csv_has_the_place_between_flags_and_payload_and_empty_cells_for_what_is_not_there():
    header, *rows = exported(
        "csv",
        batch_of(
            write(b"x", target=FILE, offset=-1),
            write(b"x"),
            write(b"x", target=SOCKET, source_fd=4, source=FILE, address="/run/a,b"),
        ),
    ).split("\r\n")[:-1]

    assert header.endswith(f",flags,{','.join(PLACES)},host,text")
    assert [row.split(",", 14)[14] for row in rows] == [
        ',"/var/log/x (deleted)","file",-1,,,,,"x"',
        ',,,,,,,,"x"',
        ',"udp [::1]:5→[::1]:80","udp",,4,"/var/log/x (deleted)","/run/a,b",,"x"',
    ]


@pytest.mark.parametrize("name", EXPORTERS)
def test_paths_and_addresses_are_as_harmless_as_payloads(name):
    hostile = "=\x1b[2J\x9b\x7f\n\u202e"
    batch = batch_of(
        write(
            target=Target(hostile, hostile),
            source_fd=1,
            source=Target("file", hostile),
            address=hostile,
        )
    )

    text = exported(name, batch)

    assert text.replace("\r\n", "").replace("\n", "").isprintable()
    if name == "csv":
        (row,) = csv_rows(batch)
        for cell in ("target", "target_kind", "source", "address"):
            assert row[cell].startswith("'=\\x1b[2J")


@pytest.mark.parametrize("flag", [EventFlag.NO_PAYLOAD, EventFlag.PAYLOAD_LOST])
def test_a_payload_that_is_not_there_is_null_in_json_and_empty_in_csv(flag):
    batch = batch_of(write(b"", count=5, flags=flag), write(b""))

    absent, empty = json_rows(batch)
    first, second = exported("csv", batch).split("\r\n")[1:3]

    assert (absent["text"], absent["data_b64"], absent["flags"]) == (None, None, flag.names)
    assert (empty["text"], empty["data_b64"]) == ("", "")
    assert first.endswith(",,")
    assert second.endswith(',""')


def test_what_was_captured_of_a_payload_that_was_lost_is_there():
    (row,) = json_rows(batch_of(write(b"ab", count=5, flags=EventFlag.PAYLOAD_LOST)))

    assert row["text"] == "ab"


def test_an_event_seen_at_its_exit_has_a_result_and_no_duration():
    (row,) = json_rows(batch_of(write(flags=EventFlag.AT_EXIT)))

    assert (row["returned"], row["duration_ns"]) == (6, None)


@given(st.lists(st.tuples(payloads, comms), max_size=5))
def test_json_is_valid_whatever_payloads_and_names_hold(events):
    batch = batch_of(*(write(data, comm=comm) for data, comm in events))

    lines = jsonl.format_batch(batch).splitlines()

    assert len(lines) == len(events)
    for line, (data, comm) in zip(lines, events, strict=True):
        row = json.loads(line)
        assert row["text"] == data.decode("utf-8", "replace")
        raw = comm.encode("utf-8", "surrogateescape")
        assert row["comm"] == raw.decode("utf-8", "replace")
        line.encode()


@pytest.mark.parametrize("flag", [EventFlag.UNFINISHED, EventFlag.RESULT_LOST, EventFlag.UNSENT])
def test_an_unknown_result_is_null_in_json(flag):
    known, unknown = json_rows(batch_of(write(), write(flags=flag, returned=0, duration_ns=0)))

    assert (known["returned"], known["duration_ns"]) == (6, 1500)
    assert (unknown["returned"], unknown["duration_ns"]) == (None, None)
    assert unknown["flags"] == flag.names


def test_an_unknown_parent_is_null_in_json():
    assert [row["ppid"] for row in json_rows(batch_of(write(ppid=None), write(pid=2)))] == [None, 1]


def test_a_payload_that_could_not_be_read_is_null_and_an_empty_one_is_empty_in_json():
    unread, empty = json_rows(
        batch_of(write(b"", count=5, flags=EventFlag.UNREADABLE), write(b"")),
        data="text,base64,hex",
    )

    assert (unread["text"], unread["data_b64"], unread["data_hex"]) == (None, None, None)
    assert (empty["text"], empty["data_b64"], empty["data_hex"]) == ("", "", "")


def test_the_largest_numbers_stay_exact_in_json():
    batch = batch_of(write(b"x", count=2**64 - 1, returned=-(2**63), tid=2**32 - 1, fd=-(2**31)))

    (row,) = json_rows(batch)

    assert row["count"] == 2**64 - 1
    assert row["returned"] == -(2**63)
    assert row["tid"] == 2**32 - 1
    assert row["fd"] == -(2**31)


def test_flags_that_a_newer_format_may_add_do_no_harm():
    (row,) = json_rows(batch_of(write(flags=EventFlag.TRUNCATED | EventFlag(1 << 20))))

    assert row["flags"] == ["truncated"]


def test_no_events_make_no_json_lines():
    assert jsonl.format_batch(batch_of()) == ""


def test_csv_has_a_header_and_ends_its_lines_as_rfc_4180_says():
    text = exported("csv", batch_of(write(b'a "b"\n', flags=EventFlag.TRUNCATED, count=9, fd=2)))

    assert text == (
        "time,time_ns,pid,tid,ppid,comm,syscall,fd,count,captured,returned,duration_ns,cpu,"
        "sequence,flags,target,target_kind,offset,source_fd,source,address,host,text\r\n"
        f"2026-01-02T03:04:05.000000000Z,{STARTED_NS},100,100,1,"
        '"hello","write",2,9,6,9,1500,0,1,truncated,,,,,,,,"a ""b""\\n"\r\n'
    )


def test_csv_and_json_agree_on_every_column():
    batch = batch_of(
        write(b"one", after_ns=1, ppid=None),
        write(b"two", after_ns=2, returned=-32, cpu=1),
        write(b"three", after_ns=3, flags=EventFlag.UNFINISHED),
        write(b"four", after_ns=4, target=FILE, offset=7, source_fd=3, address="[::1]:9"),
    )

    for row, values in zip(csv_rows(batch), json_rows(batch), strict=True):
        del row["time"], values["data_b64"]
        values["flags"] = " ".join(values["flags"])
        assert row == {name: "" if v is None else str(v) for name, v in values.items()}


@given(st.lists(payloads, min_size=1, max_size=5))
def test_a_text_cell_is_the_escaped_payload_on_one_line(events):
    text = exported("csv", batch_of(*(write(data) for data in events)))

    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))

    assert len(text.split("\r\n")) == len(events) + 2
    for row, data in zip(rows, events, strict=True):
        shown = escape_text(data.decode("utf-8", "surrogateescape"))
        assert row["text"] in (shown, "'" + shown)


@given(st.lists(st.text(st.characters(max_codepoint=127)).map(str.encode), min_size=2, max_size=6))
def test_plain_ascii_looks_the_same_beside_other_payloads(events):
    batch = batch_of(*(write(data) for data in events))
    mixed = batch_of(*(write(data) for data in events), write(b"\xff"))

    assert [r["text"] for r in csv_rows(batch)] == [r["text"] for r in csv_rows(mixed)][:-1]


@pytest.mark.parametrize("other", [b"plain", b"\xff"])
@pytest.mark.parametrize(
    "formula",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "  =1",
        '"=1"',
        "'=1",
        " \"' -1",
        "\uff1d1",
        "\uff0b1",
        "\uff201",
    ],
)
def test_cells_that_a_spreadsheet_would_run_are_made_harmless(formula, other):
    batch = batch_of(write(formula.encode(), comm=formula, syscall=formula), write(other))

    row, _ = csv_rows(batch)

    assert row["text"] == "'" + formula
    assert row["comm"] == "'" + formula
    assert row["syscall"] == "'" + formula


@pytest.mark.parametrize("formula", [b"\t=1", b"\r=1", b"\n=1", b"\0=1"])
def test_a_formula_behind_a_control_character_stays_behind_its_escape(formula):
    row, _ = csv_rows(batch_of(write(formula), write(b"\xff")))

    assert row["text"].startswith("\\")


@pytest.mark.parametrize("harmless", [b"a=1", b"1-1", b"(=1)", b"", b"'", b'" "'])
def test_other_text_gets_no_quote(harmless):
    assert csv_rows(batch_of(write(harmless)))[0]["text"] == harmless.decode()


def test_negative_results_stay_numbers():
    (row,) = csv_rows(batch_of(write(returned=-32, fd=-1)))

    assert int(row["returned"]) == -32
    assert int(row["fd"]) == -1


def test_what_is_unknown_is_an_empty_cell():
    batch = batch_of(
        write(b"", count=3, ppid=None, flags=EventFlag.UNREADABLE | EventFlag.RESULT_LOST)
    )

    (row,) = csv_rows(batch, data="text,base64,hex")

    assert [name for name, cell in row.items() if cell == ""] == [
        "ppid", "returned", "duration_ns", *PLACES, "host", "text", "data_b64", "data_hex",
    ]  # fmt: skip
    assert exported("csv", batch).endswith("unreadable result_lost,,,,,,,,\r\n")


@pytest.mark.parametrize(
    ("time_ns", "shown"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (STARTED_NS + 1_000_000_001, "2026-01-02T03:04:06.000000001Z"),
        (2**63 - 1, "2262-04-11T23:47:16.854775807Z"),
    ],
)
def test_time_is_iso_8601_in_utc_to_the_nanosecond(time_ns, shown, monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")

    (row,) = csv_rows(batch_of(write(after_ns=time_ns - STARTED_NS)))

    assert row["time"] == shown
    assert int(row["time_ns"]) == time_ns


def test_csv_of_nothing_is_its_header():
    assert exported("csv").count("\r\n") == 1
