"""Filters speak the recipient's language."""

import pytest

from clarion.templates.formats import Formats, locale_of, zone_of

AT = "2026-03-29T00:30:00Z"


def formats(locale: str, zone: str = "Europe/Berlin") -> Formats:
    found = Formats()
    found.locale, found.zone, found.now_ms = locale, zone, 1_774_744_200_000  # AT
    return found


def test_dates_and_times_are_local() -> None:
    """On the night when clocks go forward, too; a day alone is that day everywhere."""
    german = formats("de-DE")
    assert german.datetime(AT) == "29.03.2026, 01:30:00"
    assert german.time("2026-03-29T01:00:00Z") == "03:00"
    assert german.date(AT, "full") == "Sonntag, 29. März 2026"
    assert formats("en-US", "Pacific/Kiritimati").date("2026-03-29") == "Mar 29, 2026"
    assert formats("en-US", "America/New_York").date(AT) == "Mar 28, 2026"
    assert german.relative("2026-04-01T00:30:00Z") == "in 3 Tagen"
    assert formats("en").relative(1_774_740_600_000) == "1 hour ago"


def test_numbers_money_and_shares() -> None:
    """With the language's own marks."""
    german = formats("de")
    assert german.number(1234.5) == "1.234,5"
    assert german.currency("12.50", "EUR") == "12,50\xa0€"
    assert german.percent(0.25) == "25\xa0%"
    assert formats("hi-IN").number(1234567) == "12,34,567"


@pytest.mark.parametrize(
    ("locale", "count", "form"),
    [("pl", 1, "one"), ("pl", 3, "few"), ("pl", 5, "many"), ("ar", 0, "zero"), ("ar", 2, "two"), ("ja", 1, "other"), ("fr", 0, "one"), ("en", 1.5, "other")],
)  # fmt: skip
def test_plurals_are_those_of_the_cldr(locale: str, count: float, form: str) -> None:
    """Also of languages that have six of them; one that is not written falls back to `other`."""
    forms = {each: each for each in ("zero", "one", "two", "few", "many", "other")}
    assert formats(locale).plural(count, **forms) == form
    assert formats(locale).plural(count, other="#").strip("٠٢") != "#"


def test_t_says_it_in_the_best_language_that_has_it() -> None:
    """Key by key; values are put in; a count chooses the plural."""
    found = formats("de")
    found.texts = ({"a": "Hallo {name}"}, {"a": "Hello", "b": {"one": "# day", "other": "# days"}})
    assert found.t("a", name="Ann") == "Hallo Ann"
    assert found.t("b", count=2) == "2 days"
    with pytest.raises(ValueError, match="no language says 'c'"):
        found.t("c")


@pytest.mark.parametrize("value", ["x", None, True, [1], "1e999999", "nan"])
def test_what_is_no_number_or_time_is_said(value: object) -> None:
    """A clear reason, whatever is given."""
    for filter in (formats("en").number, formats("en").datetime):
        with pytest.raises(ValueError, match=r"."):
            filter(value)
    with pytest.raises(ValueError, match="other"):
        formats("en").plural(1, one="x")


def test_unknown_languages_and_zones_have_a_default() -> None:
    """English and UTC."""
    assert str(locale_of("xx-YY")) == "en"
    assert str(locale_of("de_at")) == "de_AT"
    assert str(zone_of("Mars/Base")) == "UTC"
