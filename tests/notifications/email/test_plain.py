"""The text that is made of HTML, and the reading of HTML under it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.notifications.channels.email import markup
from clarion.notifications.channels.email.markup import Tag, Text, tokens
from clarion.notifications.channels.email.plain import to_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hello <b>Ann</b>,</p><p>it is&nbsp;done.</p>", "Hello Ann,\n\nit is\xa0done.\n"),
        ("one<br>two<br/><br>three", "one\ntwo\n\nthree\n"),
        ("<ul><li>a<li> b </ul>c", "- a\n- b\n\nc\n"),
        ('<a href="https://x.org/?a=1&amp;b=2">Open</a> it', "Open (https://x.org/?a=1&b=2) it\n"),
        ('<a href="https://x.org">https://x.org</a>', "https://x.org\n"),
        ('<a href="mailto:a@x.org">a@x.org</a> <a href="#top">up</a>', "a@x.org up\n"),
        ('<a href="https://x.org"><img alt="Logo" src="l.png"></a>', "Logo (https://x.org)\n"),
        ('<a href="https://x.org"></a></a>', "https://x.org\n"),
        ("<head><title>T</title><style>p { a > b }</style></head><body>x</body>", "x\n"),
        ("<script>if (a < b) alert('<p>')</script>y", "y\n"),
        ("<!-- <p>no --><!doctype html>z<!-- open", "z<!-- open\n"),
        ("<pre>a  b\n  c</pre>d", "a  b\n  c\n\nd\n"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><th>c</th></tr></table>", "a b\nc\n"),
        ("a<hr>b", "a\n\n---\n\nb\n"),
        ("1 < 2 && 3 > 2, <3", "1 < 2 && 3 > 2, <3\n"),
        ('<img alt="a > b" src=x>', "a > b\n"),
        ("<p it's>odd</p>", "odd\n"),
        ("</li></pre></style><p>x", "x\n"),
        ("", ""),
        ("a<style>never closed", "a\n"),
        ("</>x<1>", "</>x<1>\n"),
        ("a<img src=x><img alt=''>b", "ab\n"),
        ("<a href='#x'>a<a href='https://x.org'> b</a>", "a b (https://x.org)\n"),
        ("a <!-- x --> <? y ?>b</style>", "a b\n"),
        ("<pre>a<pre>b</pre></pre>", "a\n\nb\n"),
    ],
)
def test_text_of_html(html: str, text: str) -> None:
    """What a reader would see, with links, lists and images in words."""
    assert to_text(html) == text


@given(st.text(st.sampled_from("<>!-/=\"' aApbrstyle\n&;"), max_size=200))
def test_whatever_it_is_given_it_reads(html: str) -> None:
    """No input fails; nothing that is no tag is lost before the text is made of it."""
    found = list(tokens(html))
    assert all(isinstance(each, Text | Tag) for each in found)
    for each in found:
        if isinstance(each, Tag):
            assert html[each.start :].startswith(each.raw)
            each.attributes()
    to_text(html)


@pytest.mark.parametrize(
    "piece", ["<", "<!--", '<a "', "<a '", "<a href=\"", "<style>", "<pre>", "&", "<a b ", '<a ">', "<'\">", "</title"]
)  # fmt: skip
def test_time_grows_with_size_alone(piece: str) -> None:
    """Input made to be read again and again is read as fast as any: this would take minutes otherwise."""
    to_text(piece * (250_000 // len(piece)))


def test_attributes() -> None:
    """In all their spellings; of a repeated one the first counts, and another value is put in its place."""
    [tag] = tokens("""<A HREF = 'x&amp;y' id=7 hidden href="z">""")
    assert isinstance(tag, Tag)
    assert tag.attributes() == {"href": "x&y", "id": "7", "hidden": ""}
    assert tag.replace("href", 'a"b') == """<A HREF="a&quot;b" id=7 hidden href="z">"""
    assert tag.replace("src", "no") == tag.raw


def test_patience_with_quotes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many tags with a quote that never ends the last ones are text."""
    monkeypatch.setattr(markup, "_LENIENT", 0)
    assert to_text("<p it's>odd") == "<p it's>odd\n"
