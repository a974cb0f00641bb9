import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import STARTED_NS, batch_of, write

from wcap.errors import UnknownFormatError
from wcap.events import EventFlag, Gap, Target
from wcap.render import STYLES, make_renderer, parts
from wcap.render.payload import QUOTED, RUNNING, payload_texts
from wcap.render.window import cells, fit

GAP = Gap(0, 2, 1235, 1234, STARTED_NS, STARTED_NS + 1_500, "buffer-full")


def render(*writes, style="line", **look):
    """Render writes in one batch; times are seconds since the start unless told otherwise."""
    renderer = make_renderer(style, started_ns=STARTED_NS, **{"time": "rel", **look})
    return renderer.batch(batch_of(*writes))


def line(*args, **facts):
    """The line of one write, without the time before it and the line end after it."""
    (text,) = render(write(*args, **facts)).splitlines()
    return text.split(maxsplit=1)[1]


@pytest.fixture
def kolkata(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# Lines


def test_a_line_tells_who_wrote_what_where_and_what_the_kernel_answered():
    text = render(write(after_ns=1_500, pid=100, tid=101, fd=3), time="iso")

    assert text == (
        '2026-01-02T03:04:05.000001500Z hello 100/101 write(3) = 6 <0.000001500> "hello\\n"\n'
    )


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"returned": -32}, '= -1 EPIPE <0.000001500> "hello\\n"'),
        ({"returned": -512}, '= -1 ERESTARTSYS <0.000001500> "hello\\n"'),
        ({"returned": 3}, '= 3 of 6 <0.000001500> "hello\\n"'),
        ({"returned": 0}, '= 0 of 6 <0.000001500> "hello\\n"'),
        ({"flags": EventFlag.UNFINISHED}, '= ? (unfinished) "hello\\n"'),
        ({"flags": EventFlag.RESULT_LOST}, '= ? (result lost) "hello\\n"'),
        ({"flags": EventFlag.READ_AT_EXIT}, '= 6 <0.000001500> "hello\\n" [read at exit]'),
        ({"data": b""}, '= 0 <0.000001500> ""'),
        ({"duration_ns": 61_000_000_002}, '= 6 <61.000000002> "hello\\n"'),
        (
            {"count": 12_294, "flags": EventFlag.TRUNCATED},
            '= 12294 <0.000001500> "hello\\n" … +12288 B',
        ),
        (
            {"data": b"", "count": 64, "flags": EventFlag.UNREADABLE},
            "= 64 <0.000001500> [64 B unreadable]",
        ),
        (
            {"count": 64, "flags": EventFlag.UNREADABLE},
            '= 64 <0.000001500> "hello\\n" [58 B unreadable]',
        ),
    ],
)
def test_a_line_says_what_is_special_about_a_write(facts, shown):
    assert line(**facts) == f"hello 100/100 write(1) {shown}"


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"flags": EventFlag.UNSENT}, '= ? (not sent) "hello\\n"'),
        ({"flags": EventFlag.AT_EXIT}, '= 6 "hello\\n"'),
        (
            {"count": 64, "flags": EventFlag.PAYLOAD_LOST},
            '= 64 <0.000001500> "hello\\n" [58 B lost]',
        ),
        (
            {"data": b"", "count": 64, "flags": EventFlag.PAYLOAD_LOST},
            "= 64 <0.000001500> [64 B lost]",
        ),
        (
            {"count": 9, "flags": EventFlag.PAYLOAD_LOST | EventFlag.UNREADABLE},
            '= 9 <0.000001500> "hello\\n" [3 B unreadable or lost]',
        ),
        ({"data": b"", "count": 64, "flags": EventFlag.NO_PAYLOAD}, "= 64 <0.000001500>"),
        (
            {"data": b"", "count": 64, "returned": 9, "flags": EventFlag.NO_PAYLOAD},
            "= 9 of 64 <0.000001500>",
        ),
    ],
)
def test_a_line_says_what_is_special_about_the_newer_calls(facts, shown):
    assert line(**facts) == f"hello 100/100 write(1) {shown}"


def test_each_line_of_a_batch_has_the_facts_of_its_own_event():
    text = render(
        write(b"a", comm="one", fd=1),
        write(b"b", pid=200, comm="two", fd=2, returned=-9, after_ns=1),
        write(b"c", flags=EventFlag.UNFINISHED, fd=1, after_ns=1_000_000_002),
        write(b"d", syscall="writev", count=5, after_ns=1_000_000_003, duration_ns=2_000_000_000),
    )

    assert text.splitlines() == [
        '    0.000000000 one 100/100 write(1) = 1 <0.000001500> "a"',
        '    0.000000001 two 200/200 write(2) = -1 EBADF <0.000001500> "b"',
        '    1.000000002 hello 100/100 write(1) = ? (unfinished) "c"',
        '    1.000000003 hello 100/100 writev(1) = 5 <2.000000000> "d" … +4 B',
    ]


@pytest.mark.parametrize("style", STYLES)
def test_nothing_is_printed_for_no_events(style):
    batch = batch_of(write()).select(slice(0, 0))

    assert make_renderer(style, started_ns=STARTED_NS).batch(batch) == ""


@pytest.mark.parametrize(
    ("comm", "shown"),
    [
        ("client-tcp", "client-tcp"),
        ("größe", "größe"),
        ("Web Content", '"Web Content"'),
        ("", '""'),
        ("\x1b[31mred", '"\\x1b[31mred"'),
        ("a\nb", '"a\\nb"'),
        ('x"y', '"x\\"y"'),
        ("x\\y", '"x\\\\y"'),
        ("\u202etxt", '"\\u202etxt"'),
        (b"\xffx".decode("utf-8", "surrogateescape"), '"\\xffx"'),
        ('x 1/1 write(1) = 5 "', '"x 1/1 write(1) = 5 \\""'),
    ],
)
def test_a_name_cannot_pass_for_anything_else(comm, shown):
    assert line(comm=comm).startswith(f"{shown} 100/100 write(1) = 6 ")


def test_the_name_of_a_system_call_is_escaped_too():
    assert "wr\\x1bite(1)" in line(syscall="wr\x1bite")


def test_an_unknown_style_or_time_is_named():
    with pytest.raises(UnknownFormatError, match=r"line, snoop.* expected, 'tabular' found"):
        make_renderer("tabular", started_ns=0)
    with pytest.raises(UnknownFormatError, match=r"local, iso.* expected, 'noon' found"):
        make_renderer(started_ns=0, time="noon")


# Where to

LOG = Target("file", "/var/log/x")
WEB = Target("tcp", local="127.0.0.1:51874", peer="127.0.0.1:11111")
PAGE = Target("file", "/srv/index.html")
NOWHERE = {"data": b"", "count": 6, "flags": EventFlag.NO_PAYLOAD}


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"fd": 3}, "write(3)"),
        ({"fd": 3, "target": LOG}, "write(3</var/log/x>)"),
        (
            {"fd": 4, "target": WEB, "syscall": "sendto"},
            "sendto(4<tcp 127.0.0.1:51874→127.0.0.1:11111>)",
        ),
        ({"fd": 3, "target": Target("pipe", inode=7)}, "write(3<pipe:[7]>)"),
        (
            {"fd": 3, "target": Target("file", "/tmp/a b", deleted=True)},
            "write(3</tmp/a b (deleted)>)",
        ),
        ({"fd": 3, "offset": 4096, "syscall": "pwrite64"}, "pwrite64(3, @4096)"),
        ({"fd": 3, "offset": -1, "target": LOG}, "write(3</var/log/x>, @-1)"),
        (
            {
                "fd": 5,
                "target": Target("udp", local="0.0.0.0:40000"),
                "address": "127.0.0.1:53",
                "syscall": "sendto",
            },
            "sendto(5<udp 0.0.0.0:40000>, to 127.0.0.1:53)",
        ),
        (
            {"fd": 4, "target": WEB, "source_fd": 3, "source": PAGE, "syscall": "sendfile"},
            "sendfile(4<tcp 127.0.0.1:51874→127.0.0.1:11111>, from 3</srv/index.html>)",
        ),
        ({"fd": 4, "source_fd": 3, "syscall": "tee"}, "tee(4, from 3)"),
        (
            {"fd": 4, "offset": 0, "source_fd": 3, "source": PAGE},
            "write(4, @0, from 3</srv/index.html>)",
        ),
    ],
)
def test_a_line_says_what_a_descriptor_stood_for_and_what_else_the_call_was_given(facts, shown):
    assert line(**facts) == f'hello 100/100 {shown} = 6 <0.000001500> "hello\\n"'


def test_each_line_has_the_place_of_its_own_event():
    text = render(
        write(b"", fd=3, target=LOG, offset=5),
        write(b"", fd=3, target=PAGE),
        write(b"", fd=3, address="[::1]:53"),
        write(b"", fd=3, target=LOG, offset=6),
        write(b"", fd=3, source_fd=9),
    )

    assert [
        line.split()[3:] for line in text.replace(' = 0 <0.000001500> ""', "").splitlines()
    ] == [
        ["write(3</var/log/x>,", "@5)"],
        ["write(3</srv/index.html>)"],
        ["write(3,", "to", "[::1]:53)"],
        ["write(3</var/log/x>,", "@6)"],
        ["write(3,", "from", "9)"],
    ]


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"target": Target("file", '/x>) = 9 "')}, 'write(1</x\\x3e) = 9 ">)'),
        ({"target": Target("file", "/<a>\x1b[2J\n")}, "write(1</\\x3ca\\x3e\\x1b[2J\\n>)"),
        ({"target": Target("file", "/\\x3e")}, "write(1</\\\\x3e>)"),
        ({"target": Target("file", "/\udcff")}, "write(1</\\xff>)"),
        ({"target": Target("\x07", inode=1)}, "write(1<\\x07:[1]>)"),
        ({"address": "/run/a) = 9"}, 'write(1, to "/run/a) = 9")'),
        ({"address": "@\x00\u202e"}, 'write(1, to "@\\x00\\u202e")'),
        ({"source_fd": 3, "source": Target("file", "/>\r")}, "write(1, from 3</\\x3e\\r>)"),
    ],
)
def test_no_path_and_no_address_can_pass_for_anything_else(facts, shown):
    assert line(**facts).startswith(f"hello 100/100 {shown} = 6 <")


def test_the_hex_style_has_the_same_line():
    text = render(write(b"", fd=3, target=LOG, offset=5), write(**NOWHERE), style="hex")

    assert text == (
        "    0.000000000 hello 100/100 write(3</var/log/x>, @5) = 0 <0.000001500>\n"
        "    0.000000000 hello 100/100 write(1) = 6 <0.000001500>\n"
    )


def test_the_block_style_has_a_line_for_what_is_known_of_the_place():
    text = render(
        write(b"x", fd=3, target=LOG, offset=5),
        write(fd=4, target=WEB, source_fd=3, source=PAGE, syscall="sendfile", **NOWHERE),
        write(b"x", fd=5, address="127.0.0.1:53", target=Target("udp", local="\x1b")),
        style="block",
    )

    first, second, third = (block.splitlines() for block in text.split("\n\n")[:3])
    assert first[5:9] == ["FD:      3", "Target:  /var/log/x", "Offset:  5", "Count:   1"]
    assert second[4:] == [
        "Call:    sendfile",
        "FD:      4",
        "Target:  tcp 127.0.0.1:51874→127.0.0.1:11111",
        "From:    3</srv/index.html>",
        "Count:   6",
        "Result:  6 <0.000001500>",
    ]
    assert third[6:8] == ["Target:  udp \\x1b", "To:      127.0.0.1:53"]


def test_the_snoop_style_stays_as_its_model_prints():
    text = render(
        write(b"x", fd=1, target=LOG, offset=5), write(fd=4, source_fd=3, **NOWHERE), style="snoop"
    )

    assert text == '"hello" (100,1) OUT >> "x"\n"hello" (100,1) FD 4 >>\n'


# Payloads


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b"plain ~!", "plain ~!"),
        (b"a\nb\tc\rd", "a\\nb\\tc\\rd"),
        (b'say "x\\n"', 'say \\"x\\\\n\\"'),
        (b"\x00\x07\x1b[31m\x7f", "\\x00\\x07\\x1b[31m\\x7f"),
        ("größe 日本 🙂\n".encode(), "größe 日本 🙂\\n"),
        ("\x9b2J\u202e\u2028\ufeff".encode(), "\\u009b2J\\u202e\\u2028\\ufeff"),
        ("\U000e0001".encode(), "\\U000e0001"),
        (b"latin \xe9\n", "latin \\xe9\\n"),
        (b"\xc3\xa9 \xff", "\\xc3\\xa9 \\xff"),
        (b"cut off \xe6\x97", "cut off \\xe6\\x97"),
        (b"\x97\xa5 goes on \xe6\x97\xa5", "\\x97\\xa5 goes on 日"),
        (b"\xed\xa0\x80 surrogate", "\\xed\\xa0\\x80 surrogate"),
        (b"\x80\x80\x80\x80", "\\x80\\x80\\x80\\x80"),
    ],
)
def test_a_payload_is_shown_so_that_it_harms_no_terminal(payload, shown):
    assert payload_texts(batch_of(write(payload))) == [shown]


ESCAPE = re.compile(r"\\(?:([nrt\\\"])|x(..)|u(....)|U(........))")
LETTERS = {"n": b"\n", "r": b"\r", "t": b"\t", "\\": b"\\", '"': b'"'}
PAYLOADS = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.text(max_size=20).map(str.encode),
        st.text(alphabet='\n\\"x é日\u202e', max_size=9).map(str.encode),
        st.binary(max_size=3),
    ),
    min_size=1,
    max_size=8,
)


def unescape(text):
    """Undo the escapes of a payload."""
    parts, place = [], 0
    for found in ESCAPE.finditer(text):
        parts.append(text[place : found.start()].encode())
        letter, byte, short, long = found.groups()
        if letter:
            parts.append(LETTERS[letter])
        elif byte:
            parts.append(bytes.fromhex(byte))
        else:
            parts.append(chr(int(short or long, 16)).encode())
        place = found.end()
    return b"".join([*parts, text[place:].encode()])


@given(PAYLOADS)
def test_every_payload_can_be_told_from_its_text(payloads):
    batch = batch_of(*map(write, payloads))

    for escapes, kept in ((QUOTED, ""), (RUNNING, "\n\t")):
        texts = payload_texts(batch, escapes)

        assert [unescape(text) for text in texts] == payloads
        assert all(char.isprintable() or char in kept for text in texts for char in text)


@given(PAYLOADS, st.data())
def test_chosen_events_show_the_text_they_show_among_all(payloads, data):
    batch = batch_of(*map(write, payloads))
    kept = data.draw(
        st.lists(st.booleans(), min_size=len(payloads), max_size=len(payloads)).filter(any)
    )

    chosen = payload_texts(batch.select(np.array(kept)))

    texts = payload_texts(batch)
    assert chosen == [text for text, keep in zip(texts, kept, strict=True) if keep]


# Other styles


def test_the_snoop_style_is_that_of_bpf_writesnoop():
    text = render(
        write(b"25) hello, go\n", pid=2260, ppid=2182, comm="t"),
        write(b"oops", pid=2260, ppid=2182, comm="t", fd=2),
        write(b"x", pid=2260, ppid=None, comm='t"\n', fd=7),
        style="snoop",
    )

    assert text.splitlines() == [
        '"t" (2260,2182) OUT >> "25) hello, go\\n"',
        '"t" (2260,2182) ERR >> "oops"',
        '"t\\"\\n" (2260,?) FD 7 >> "x"',
    ]


def test_the_snoop_style_says_after_the_payload_what_its_model_kept_to_itself():
    text = render(
        write(returned=-32),
        write(returned=2, count=600, flags=EventFlag.TRUNCATED),
        write(b"", count=64, returned=-14, flags=EventFlag.UNREADABLE),
        write(flags=EventFlag.UNFINISHED),
        style="snoop",
    )

    assert [text.partition(">> ")[2] for text in text.splitlines()] == [
        '"hello\\n" = -1 EPIPE',
        '"hello\\n" … +594 B = 2 of 600',
        "[64 B unreadable] = -1 EFAULT",
        '"hello\\n" = ? (unfinished)',
    ]


def test_the_block_style_labels_every_fact():
    text = render(
        write(b"hi\x00\n", comm="client-tcp", pid=7, tid=8, fd=3, after_ns=1_500),
        write(b"", count=5, returned=-14, flags=EventFlag.UNREADABLE, after_ns=1_500),
        style="block",
        time="epoch",
    )

    assert text == (
        "Time:    1767323045.000001500\n"
        "Process: client-tcp\n"
        "PID:     7\n"
        "TID:     8\n"
        "Call:    write\n"
        "FD:      3\n"
        "Count:   4\n"
        "Result:  4 <0.000001500>\n"
        'Data:    "hi\\x00\\n"\n'
        "Hex:     68 69 00 0a\n"
        "\n"
        "Time:    1767323045.000001500\n"
        "Process: hello\n"
        "PID:     100\n"
        "TID:     100\n"
        "Call:    write\n"
        "FD:      1\n"
        "Count:   5\n"
        "Result:  -1 EFAULT <0.000001500>\n"
        "Data:    [5 B unreadable]\n"
        "\n"
    )


def test_the_hex_style_dumps_rows_of_sixteen_bytes_under_each_line():
    text = render(
        write(bytes(range(0x0E, 0x22)) + b"~\x7f\xe9", count=30, flags=EventFlag.TRUNCATED),
        write(b""),
        write(b"0123456789abcdef"),
        style="hex",
    )

    head = "    0.000000000 hello 100/100 write(1) ="
    assert text == (
        f"{head} 30 <0.000001500>\n"
        "  00000000  0e 0f 10 11 12 13 14 15  16 17 18 19 1a 1b 1c 1d  |................|\n"
        "  00000010  1e 1f 20 21 7e 7f e9                              |.. !~..|\n"
        "  … +7 B\n"
        f"{head} 0 <0.000001500>\n"
        f"{head} 16 <0.000001500>\n"
        "  00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n"
    )


@given(st.lists(st.binary(max_size=70), min_size=1, max_size=6))
def test_every_payload_can_be_read_back_from_its_hex_dump(payloads):
    text = render(*map(write, payloads), style="hex")

    dumps = []
    for row in text.splitlines():
        if row.startswith("  0000"):
            assert int(row[2:10], 16) == len(dumps[-1])
            dumps[-1] += bytes.fromhex(row[12:61])
        else:
            dumps.append(b"")
    assert dumps == payloads


def test_the_text_style_is_what_was_written_but_for_control_characters():
    text = render(write(b'a\t"b"\n'), write(b"\x1b[2Jc\\d"), write("é\n".encode()), style="text")

    assert text == 'a\t"b"\n\\x1b[2Jc\\\\dé\n'


def test_the_text_style_marks_what_is_missing_as_no_program_can():
    text = render(
        write(b"ab", count=10, flags=EventFlag.TRUNCATED),
        write(b"", count=64, flags=EventFlag.UNREADABLE),
        write(b"\\[8 B missing]"),
        style="text",
    )

    assert text == "ab\\[8 B missing]\\[64 B unreadable]\\\\[8 B missing]"


def test_the_text_style_marks_what_was_lost_and_what_calls_without_a_payload_wrote():
    text = render(
        write(b"ab", count=10, flags=EventFlag.PAYLOAD_LOST),
        write(syscall="sendfile", returned=4, **NOWHERE),
        write(syscall="splice", returned=-32, **NOWHERE),
        write(b"cd"),
        style="text",
    )

    assert text == "ab\\[8 B lost]\\[4 B by sendfile]cd"


def test_a_gap_in_text_stands_on_a_line_of_its_own():
    renderer = make_renderer("text", started_ns=STARTED_NS, time="rel")
    words = "1234 events lost on CPU 0 between 0.000000000 and 0.000001500: buffer-full"

    text = "".join(
        [
            renderer.gap(GAP),
            renderer.batch(batch_of(write(b"one\n"))),
            renderer.gap(GAP),
            renderer.batch(batch_of(write(b"two"))),
            renderer.batch(batch_of(write(b""))),
            renderer.gap(GAP),
        ]
    )

    assert text == f"\\[{words}]\none\n\\[{words}]\ntwo\n\\[{words}]\n"


# Times


@pytest.mark.parametrize(
    ("form", "times"),
    [
        ("local", ["08:34:05.000001500", "08:34:06.999999999", "08:35:05.000000000"]),
        (
            "iso",
            [
                "2026-01-02T03:04:05.000001500Z",
                "2026-01-02T03:04:06.999999999Z",
                "2026-01-02T03:05:05.000000000Z",
            ],
        ),
        ("epoch", ["1767323045.000001500", "1767323046.999999999", "1767323105.000000000"]),
        ("rel", ["    0.000001500", "    1.999999999", "   60.000000000"]),
        ("delta", ["    0.000000000", "    1.999998499", "   58.000000001"]),
    ],
)
def test_times_are_exact_to_the_nanosecond(form, times, kolkata):
    text = render(
        write(after_ns=1_500),
        write(after_ns=1_999_999_999),
        write(after_ns=60_000_000_000),
        time=form,
    )

    assert [line.partition(" hello")[0] for line in text.splitlines()] == times


def test_a_delta_counts_from_the_last_event_of_the_batch_before():
    renderer = make_renderer(started_ns=STARTED_NS, time="delta")

    renderer.batch(batch_of(write(after_ns=5), write(after_ns=10)))
    text = renderer.batch(batch_of(write(after_ns=17), write(after_ns=18)))

    assert [line.split()[0] for line in text.splitlines()] == ["0.000000007", "0.000000001"]


@pytest.mark.parametrize("form", ["rel", "delta"])
def test_a_time_before_the_start_is_negative(form):
    text = render(write(after_ns=1_000), write(after_ns=-1_500_000_000), time=form)

    shown = {"rel": "   -1.500000000 ", "delta": "   -1.500001000 "}[form]
    assert text.splitlines()[1].startswith(shown)


def test_an_event_before_1970_has_its_calendar_date():
    text = render(write(after_ns=-STARTED_NS - 500_000_000), time="iso")

    assert text.startswith("1969-12-31T23:59:59.500000000Z ")


# Gaps


@pytest.mark.parametrize(
    ("form", "first", "last"),
    [
        ("local", "08:34:05.000000000", "08:34:05.000001500"),
        ("iso", "2026-01-02T03:04:05.000000000Z", "2026-01-02T03:04:05.000001500Z"),
        ("epoch", "1767323045.000000000", "1767323045.000001500"),
        ("rel", "0.000000000", "0.000001500"),
        ("delta", "0.000000000", "0.000001500"),
    ],
)
def test_a_gap_says_how_many_events_were_lost_where_when_and_why(form, first, last, kolkata):
    renderer = make_renderer(started_ns=STARTED_NS, time=form)

    assert renderer.gap(GAP) == (
        f"-- 1234 events lost on CPU 0 between {first} and {last}: buffer-full --\n"
    )


def test_a_gap_of_one_is_one_event_and_its_cause_is_escaped():
    gap = Gap(3, 2, 2, 1, STARTED_NS - 1_500_000_000, STARTED_NS, "\x1b]0;x\x07")

    text = make_renderer("block", started_ns=STARTED_NS, time="rel").gap(gap)

    assert text == (
        "-- 1 event lost on CPU 3 between -1.500000000 and 0.000000000: \\x1b]0;x\\x07 --\n\n"
    )


@pytest.mark.parametrize("form", ["local", "iso", "epoch", "rel"])
def test_a_gap_whose_time_no_calendar_holds_is_still_shown(form):
    gap = Gap(0, 1, 1, 1, -(10**30), 10**30, "buffer-full")

    text = make_renderer(started_ns=STARTED_NS, time=form).gap(gap)

    assert text.startswith("-- 1 event lost on CPU 0 between -1000000")


# The window of a terminal


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (11, 'ab "text" !'),
        (10, 'ab "tex… !'),
        (7, 'ab "… !'),
        (3, "… !"),
        (2, "a…"),
        (1, "…"),
    ],
)
def test_a_line_is_cut_to_the_window_and_keeps_its_tail(width, shown):
    assert fit('ab "text', '"', " !", width) == shown


@pytest.mark.parametrize(
    ("text", "width"),
    [("abc", 3), ("日本", 4), ("e\u0301", 1), ("\x1b[31mred\x1b[0m", 3), ("…", 1), ("", 0)],
)
def test_the_width_of_text_is_the_cells_it_takes(text, width):
    assert cells(text) == width


def test_wide_characters_are_not_cut_in_half():
    assert fit("日本語", "", "", 5) == "日本…"
    assert fit("日本語", "", "", 4) == "日…"
    assert fit("日e\u0301e\u0301日", "", "", 5) == "日e\u0301e\u0301…"


def test_colours_take_no_room_and_are_ended_in_a_line_that_is_cut():
    text = "\x1b[31mred\x1b[0m and \x1b[2mdim\x1b[0m"

    assert fit(text, "", "", 11) == text
    assert fit(text, "", "", 6) == "\x1b[31mred\x1b[0m a\x1b[2m\x1b[0m…"
    assert fit("\x1b[31m日\x1b[0m or", "", "", 4) == "\x1b[31m日\x1b[0m …"


def test_every_line_fits_the_window_that_was_given():
    writes = [
        write(b"x" * 500, count=9_000, flags=EventFlag.TRUNCATED),
        write("日本語\n".encode() * 50, returned=-32),
        write(b"\x00" * 100, comm="Web Content"),
        write(b"short"),
    ]

    for style in ("line", "snoop"):
        for colour in (False, True):
            text = render(*writes, style=style, width=80, colour=colour)

            widths = [cells(line) for line in text.splitlines()]
            assert len(widths) == 4
            assert all(width in (79, 80) for width in widths[:3])
            assert text.splitlines()[3] == render(writes[3], style=style, colour=colour).rstrip(
                "\n"
            )


def test_a_cut_line_still_says_what_is_not_in_the_capture():
    text = render(write(b"x" * 500, count=9_000, flags=EventFlag.TRUNCATED), width=80)

    assert text.endswith("xxxxx… … +8500 B\n")


def test_without_a_width_lines_are_whole():
    assert len(render(write(b"x" * 4_096))) > 4_096


# Colours


@pytest.mark.parametrize("style", STYLES)
def test_colours_change_nothing_but_the_colour(style):
    writes = [
        write(returned=-32),
        write(b"ab", count=9, flags=EventFlag.TRUNCATED),
        write(flags=EventFlag.UNFINISHED),
    ]

    coloured = render(*writes, style=style, colour=True)

    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == render(*writes, style=style)
    starts, ends = coloured.count("\x1b["), coloured.count("\x1b[0m")
    assert starts == 2 * ends


def test_a_failed_write_stands_out():
    assert "= \x1b[31m-1 EPIPE\x1b[0m <" in render(write(returned=-32), colour=True)
    assert "= 6 <" in render(write(), colour=True)


# Parts


def test_a_large_batch_is_cut_into_parts_that_hold_all_of_it():
    many = batch_of(*[write(b"%d" % number) for number in range(5_000)])
    large = batch_of(*[write(b"x" * 100_000) for _ in range(5)])

    assert [len(part) for part in parts(many)] == [2_048, 2_048, 904]
    assert [len(part) for part in parts(large)] == [2, 2, 1]
    assert b"".join(part.joined() for part in parts(many)) == many.joined()


def test_a_payload_larger_than_a_part_is_a_part_of_its_own():
    batch = batch_of(write(b"a"), write(b"x" * 300_000), write(b"b"))

    assert [part.joined()[:1] for part in parts(batch)] == [b"a", b"x", b"b"]


def test_a_small_batch_is_its_own_part_and_an_empty_one_has_none():
    batch = batch_of(write())

    assert list(parts(batch)) == [batch]
    assert list(parts(batch.select(slice(0, 0)))) == []


def test_hostile_numbers_are_shown_as_they_are():
    batch = batch_of(write(fd=-1), write(tid=4_294_967_295, count=2**64 - 1, returned=-(2**63)))

    text = make_renderer(started_ns=STARTED_NS).batch(batch)

    assert "write(-1) = 6" in text
    assert f"100/4294967295 write(1) = -1 errno {2**63} <" in text
    assert f"… +{2**64 - 7} B" in text
