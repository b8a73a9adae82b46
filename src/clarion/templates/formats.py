"""Filters that speak the recipient's language: dates, numbers, money, plurals, by the CLDR (Babel).

{{ payload.starts_at|datetime("short") }}   {{ payload.total|currency("EUR") }}
{{ payload.count|plural(one="# comment", other="# comments") }}   {{ payload.due|relative }}
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, tzinfo
from datetime import datetime as Moment
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError, dates, numbers

Texts = Mapping[str, str | Mapping[str, str]]
"""What a language says, by key; a mapping by plural category: `{one, few, many, other, …}`."""


class Formats:
    """The filters, for one recipient at a time.

    Attributes:
        locale: Their language, as in `de-AT`.
        zone: Their time zone; '' or an unknown one: UTC.
        now_ms: The time, for `relative`.
        texts: Where `t` looks, the best language first.
    """

    def __init__(self) -> None:
        self.locale, self.zone, self.now_ms = "en", "", 0
        self.texts: Sequence[Texts] = ()

    def date(self, value: Any, format: str = "medium") -> str:
        """A day: `short`, `medium`, `long`, `full`, or a pattern of the CLDR."""
        if isinstance(value, str) and len(value) == 10:
            return dates.format_date(date.fromisoformat(value), format, locale_of(self.locale))
        return dates.format_date(self._local(value), format, locale_of(self.locale))

    def time(self, value: Any, format: str = "short") -> str:
        """A time of day in the recipient's zone."""
        moment = self._local(value)
        return dates.format_time(moment, format, zone_of(self.zone), locale_of(self.locale))

    def datetime(self, value: Any, format: str = "medium") -> str:
        """A day and a time of day."""
        moment = self._local(value)
        return dates.format_datetime(moment, format, zone_of(self.zone), locale_of(self.locale))

    def relative(self, value: Any) -> str:
        """How far off: `in 3 days`, `2 hours ago`."""
        apart = self._moment(value) - Moment.fromtimestamp(self.now_ms / 1000, UTC)
        return dates.format_timedelta(apart, add_direction=True, locale=locale_of(self.locale))

    def number(self, value: Any, format: str | None = None) -> str:
        """A number with the language's own marks; `format` is a pattern of the CLDR."""
        return numbers.format_decimal(decimal(value), format, locale_of(self.locale))

    def percent(self, value: Any, format: str | None = None) -> str:
        """A share: 0.25 is 25 %."""
        return numbers.format_percent(decimal(value), format, locale_of(self.locale))

    def currency(self, value: Any, code: str) -> str:
        """Money, in a currency by its code of ISO 4217."""
        return numbers.format_currency(decimal(value), code, locale=locale_of(self.locale))

    def plural(self, value: Any, **forms: str) -> str:
        """The form that the language uses for so many, `#` being the number: `zero`, `one`, `two`, `few`, `many`, `other`."""
        if "other" not in forms:
            raise ValueError("plural needs `other`")
        count = decimal(value)
        form = locale_of(self.locale).plural_form(count)
        return str(forms.get(form, forms["other"])).replace("#", self.number(count))

    def t(self, key: str, **values: Any) -> str:
        """What the language says under a key, `{name}` being a value given; `count` chooses the plural."""
        for texts in self.texts:
            if (found := texts.get(key)) is None:
                continue
            if isinstance(found, Mapping):
                text = self.plural(values.get("count", 0), **found)
            else:
                text = found
            for name, value in values.items():
                text = text.replace(f"{{{name}}}", str(value))
            return text
        raise ValueError(f"no language says {key!r}")

    def _moment(self, value: Any) -> Moment:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return Moment.fromtimestamp(value / 1000, UTC)
        if isinstance(value, str):
            moment = Moment.fromisoformat(value)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        raise ValueError("a time is RFC 3339 text, or milliseconds")

    def _local(self, value: Any) -> Moment:
        return self._moment(value).astimezone(zone_of(self.zone))


FILTERS = ("date", "time", "datetime", "relative", "number", "percent", "currency", "plural")
"""What `Formats` adds to the filters of the language; `t` is a function."""


def decimal(value: Any) -> Decimal:
    """A number as it was written.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError("not a number")  # noqa: TRY004  for whoever writes templates
    try:
        found = Decimal(str(value))
    except InvalidOperation as exc:
        raise ValueError(f"{str(value)[:40]!r} is no number") from exc
    if not found.is_finite() or abs(found.adjusted()) > 100:
        raise ValueError(f"{str(value)[:40]!r} is no number of this world")
    return found


@lru_cache(256)
def locale_of(name: str) -> Locale:
    """The locale of that name, or of its language; English where neither is known."""
    for each in (name, name.replace("_", "-").split("-")[0]):
        try:
            return Locale.parse(each.replace("_", "-"), sep="-")
        except (ValueError, UnknownLocaleError):
            continue
    return Locale("en")


@lru_cache(256)
def zone_of(name: str) -> tzinfo:
    """The zone of that name; UTC where it is not known."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ValueError, OSError, LookupError):
        return UTC
