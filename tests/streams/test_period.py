"""Periods: their text, and adding them to moments."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UsageError
from streams.period import Period, add, add_ms, milliseconds, parse, seconds

PERIODS = st.builds(
    Period,
    years=st.integers(0, 50),
    months=st.integers(0, 400),
    days=st.integers(0, 10_000),
    seconds=st.integers(0, 10**6) | st.integers(0, 10**9).map(lambda millis: millis / 1000),
)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(
    lambda when: when.replace(microsecond=when.microsecond // 1000 * 1000)
)


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("P3M", Period(months=3)),
        ("PT3M", Period(seconds=180)),
        ("P1Y2M3DT4H5M6S", Period(1, 2, 3, 14706)),
        ("P2W", Period(days=14)),
        ("PT20S", Period(seconds=20)),
        ("PT0.25S", Period(seconds=0.25)),
        ("P0D", Period()),
    ],
)
def test_reading(text: str, period: Period) -> None:
    assert parse(text) == period


@pytest.mark.parametrize(
    "text",
    ["", "P", "PT", "P1", "3M", "p3m", "P-3M", "P1.5M", "P1H", "P3MT", "P3M ", "PT1S\n", "P٣M"],
)
def test_what_is_no_period(text: str) -> None:
    with pytest.raises(UsageError, match="is not a period") as caught:
        parse(text)
    assert "P3M" in caught.value.remedy


@given(PERIODS)
def test_text_and_back(period: Period) -> None:
    again = parse(str(period))
    assert (again.years, again.months, again.days) == (period.years, period.months, period.days)
    assert again.seconds == pytest.approx(period.seconds, abs=0.0005)


def test_a_period_passes_through() -> None:
    assert parse(Period(months=3)) == Period(months=3)


@pytest.mark.parametrize(
    ("when", "text", "then"),
    [
        ("2023-11-30", "P3M", "2024-02-29"),
        ("2022-11-30", "P3M", "2023-02-28"),
        ("2024-02-29", "P1Y", "2025-02-28"),
        ("2024-01-31", "P1MT1S", "2024-02-29T00:00:01"),
        ("2024-12-31", "P1M1D", "2025-02-01"),
    ],
)
def test_calendar_months_end_with_the_month(when: str, text: str, then: str) -> None:
    start, end = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (when, then))
    assert add(start, parse(text)) == end


def test_months_are_those_of_utc() -> None:
    east = datetime(2024, 3, 1, 1, tzinfo=timezone(timedelta(hours=2)))  # 29 Feb 23:00 in UTC
    assert add(east, Period(months=12)) == datetime(2025, 2, 28, 23, tzinfo=UTC)


@given(MOMENTS, PERIODS)
def test_adding_goes_forward_and_keeps_order(when: datetime, period: Period) -> None:
    then = add(when, period)
    assert then >= when
    assert then <= add(when + timedelta(days=1), period)


@given(MOMENTS, st.integers(0, 1200))
def test_months_land_in_their_month_on_the_day_or_its_last(when: datetime, months: int) -> None:
    then = add(when, Period(months=months))
    assert then.year * 12 + then.month == when.year * 12 + when.month + months
    assert then.day == min(when.day, monthrange(then.year, then.month)[1])
    assert then.timetz() == when.timetz()


@given(MOMENTS, PERIODS)
def test_milliseconds_agree_with_moments(when: datetime, period: Period) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    millis = (when - epoch) // timedelta(milliseconds=1)
    moved = (add(when, period) - epoch) // timedelta(milliseconds=1)
    assert add_ms(millis, period) == moved


def test_length() -> None:
    assert seconds(parse("P1DT1M")) == 86_460
    assert milliseconds(parse("PT0.5S")) == 500
    for text in ("P1M", "P1Y"):
        with pytest.raises(UsageError, match="no fixed length"):
            seconds(parse(text))


def test_the_end_of_time() -> None:
    with pytest.raises(UsageError, match="past the year 9999"):
        add(datetime(2024, 1, 1, tzinfo=UTC), parse("P9000Y"))


def test_a_moment_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        add(datetime(2024, 1, 1), Period())
