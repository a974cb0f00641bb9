import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import STARTED_NS

from wcap.errors import FilterError
from wcap.units import parse_duration, parse_list, parse_marked, parse_size, parse_time

SECOND = 1_000_000_000


@pytest.fixture
def kolkata(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("given", "named", "excluded"),
    [
        ([], [], []),
        (["1,2", " 3 , 4"], ["1", "2", "3", "4"], []),
        (["!1,2", "3"], ["3"], ["1", "2"]),
        (["1,!2,!3,4"], ["1"], ["2", "3", "4"]),
        (["! a"], [], ["a"]),
        (["", "!", "a,,b"], ["", "a", "", "b"], [""]),
    ],
)
def test_an_exclamation_mark_in_a_list_excludes_what_follows_it(given, named, excluded):
    assert parse_list(given) == (named, excluded)


@pytest.mark.parametrize(
    ("given", "named", "excluded"),
    [
        ([], [], []),
        (["a,b", "!c,d"], ["a,b"], ["c,d"]),
        (["a,!b", " !c", "!!d"], ["a,!b", " !c"], ["!d"]),
        (["", "!"], [""], [""]),
    ],
)
def test_an_exclamation_mark_before_a_pattern_excludes_that_one(given, named, excluded):
    assert parse_marked(given) == (named, excluded)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("64K", 64 << 10),
        ("64k", 64 << 10),
        ("16M", 16 << 20),
        ("16MB", 16 << 20),
        ("1GiB", 1 << 30),
        ("2 TiB", 2 << 40),
        (" 512B ", 512),
    ],
)
def test_a_size_is_read_in_bytes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "K", "-1", "1.5M", "1X", "1 2", "0x10", "4096 bytes", "1\u212a", "٣", "9" * 5_000]
)
def test_what_is_not_a_size_is_refused(text):
    with pytest.raises(FilterError, match="a size such as 4096, 64K or 16M expected"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("30", 30 * SECOND),
        ("30s", 30 * SECOND),
        ("0.5", SECOND // 2),
        ("500ms", SECOND // 2),
        ("250us", 250_000),
        ("250\u00b5s", 250_000),
        ("250\u03bcs", 250_000),
        ("7ns", 7),
        ("2m", 120 * SECOND),
        ("2min", 120 * SECOND),
        ("1.5h", 5_400 * SECOND),
        ("1d", 86_400 * SECOND),
        ("2 S", 2 * SECOND),
        ("8640000.000000001", 8_640_000 * SECOND + 1),
    ],
)
def test_a_duration_is_read_to_the_nanosecond(text, nanoseconds):
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1", "1w", "1e3", ".5", "5.", "inf", "nan", "1h30m", "2\u017f", "9" * 400]
)
def test_what_is_not_a_duration_is_refused(text):
    with pytest.raises(FilterError, match="a duration such as 30s, 500ms or 5m expected"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("+0", STARTED_NS),
        ("+12.5", STARTED_NS + 12_500_000_000),
        ("+5m", STARTED_NS + 300 * SECOND),
        ("+0.000001500", STARTED_NS + 1_500),
        ("1767323045", STARTED_NS),
        ("1767323045.000001500", STARTED_NS + 1_500),
        ("1767323045000001500", STARTED_NS + 1_500),
        ("2026-01-02T03:04:05Z", STARTED_NS),
        ("2026-01-02T03:04:05.000001500Z", STARTED_NS + 1_500),
        ("2026-01-02T03:04:05.1234567891Z", STARTED_NS + 123_456_789),
        ("2026-01-02 04:04:05.5+01:00", STARTED_NS + SECOND // 2),
        ("20260102T030405.25Z", STARTED_NS + SECOND // 4),
        (" 2026-01-02T03:04:05Z ", STARTED_NS),
        ("1969-12-31T23:59:59.5Z", -SECOND // 2),
    ],
)
def test_a_time_is_read_to_the_nanosecond(text, nanoseconds):
    assert parse_time(text, STARTED_NS) == nanoseconds


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("08:34:05", STARTED_NS),
        ("08:34:05.000001500", STARTED_NS + 1_500),
        ("8:34:05.5", STARTED_NS + SECOND // 2),
        ("8:34", STARTED_NS - 5 * SECOND),
        ("2026-01-02T08:34:05", STARTED_NS),
        ("2026-01-02", STARTED_NS - (8 * 3_600 + 34 * 60 + 5) * SECOND),
    ],
)
def test_a_time_that_names_no_zone_is_local(text, nanoseconds, kolkata):
    assert parse_time(text, STARTED_NS) == nanoseconds


def test_a_time_of_day_is_on_the_local_day_of_the_start(kolkata):
    late = STARTED_NS + 17 * 3_600 * SECOND  # 01:34:05 of the next day in Kolkata

    assert parse_time("01:34:05", late) == late


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "+",
        "+x",
        "-5",
        "25:00:00",
        "10:60",
        "10:30.5",
        "10.5:00:00",
        "10:00:05,5",
        "2026-01-02T10:00:05,5Z",
        "2026-13-01",
        "2026.5-01-01",
        "1.5.5",
        "0001-01-01",
        "9999-12-31T23:59:59-12:00x",
        "9" * 20,
        "٣",
    ],
)
def test_what_is_not_a_time_is_refused(text):
    with pytest.raises(FilterError, match=r"expected, .* found"):
        parse_time(text, STARTED_NS)


@pytest.mark.parametrize("parse", [parse_size, parse_duration, lambda text: parse_time(text, 0)])
@given(
    text=st.one_of(
        st.text(max_size=12), st.text(alphabet="0123456789.:+-TZkmsµμ\u017f ", max_size=24)
    )
)
def test_any_text_is_read_or_refused(parse, text):
    try:
        value = parse(text)
    except FilterError:
        return
    assert isinstance(value, int)
