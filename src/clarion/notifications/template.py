"""Stored templates as they are written. Pure.

    template: welcome
    locale: en
    channels:
      email:
        en: {subject: "Welcome, {{ recipient.name }}", html: "{% extends 'layout' %}{% block body %}…{% endblock %}"}
        de: {subject: "Willkommen, {{ recipient.name }}", html: "…"}
      inbox:
        en: {title: "Welcome, {{ recipient.name }}"}

A template that others are made of, a layout or a partial, has its text by language in `part` instead. `texts` is what `t` says.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from clarion.patterns import worded
from clarion.templates.formats import Texts

Key = Annotated[
    str,
    Meta(
        pattern=worded(
            r"^[a-z0-9][a-z0-9._-]{0,63}$(?!\n)",
            "a key: a-z, 0-9, `.`, `_` and `-`, at most 64, the first a letter or digit",
        ),
        description="A template's key",
    ),
]
Locale = Annotated[
    str,
    Meta(
        pattern=worded(
            r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,3}$(?!\n)", "a locale, such as de or en-GB"
        ),
        description="A language, and where: de, de-AT",
    ),
]


class Template(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A template as it is given and kept."""

    template: Key
    name: Annotated[str, Meta(max_length=200)] = ""
    locale: Locale | None = None
    """The language that it falls back to last; None: the server's default one."""
    channels: dict[
        Annotated[str, Meta(max_length=64)],
        Annotated[dict[Locale, dict[str, Any]], Meta(min_length=1)],
    ] = {}
    """What it says on each channel, in each language."""
    part: dict[Locale, str] = {}
    """Its text in each language, if it is one that others are made of."""
    texts: dict[Locale, dict[str, str | dict[str, str]]] = {}
    """What `t` says, by language and key; plurals as `{one: …, other: …}`."""


def canonical(locale: str) -> str:
    """A locale as it is compared: `de_at` is `de-AT`."""
    language, *rest = locale.replace("_", "-").split("-")
    return "-".join(
        [language.lower(), *(each.title() if len(each) == 4 else each.upper() for each in rest)]
    )


def chain(locale: str, *defaults: str) -> Iterator[str]:
    """The languages to look for, the best first: de-AT, de, then each default likewise."""
    for each in (locale, *defaults):
        parts = canonical(each).split("-") if each else []
        while parts:
            yield "-".join(parts)
            parts.pop()


def choose(said: Mapping[str, Any], locale: str, *defaults: str) -> str | None:
    """Which of the languages in which something is said; as it is written there. None: none of the chain."""
    by_name = {canonical(each): each for each in said}
    return next((by_name[each] for each in chain(locale, *defaults) if each in by_name), None)


def language(locale: str) -> str:
    """The language alone."""
    return canonical(locale).split("-")[0]


def texts_for(texts: Mapping[str, Texts], locale: str, *defaults: str) -> list[Texts]:
    """What languages say, the best first."""
    by_name = {canonical(each): found for each, found in texts.items()}
    order = dict.fromkeys(chain(locale, *defaults))
    return [by_name[each] for each in order if each in by_name]
