"""The message as it is written: whatever its values hold, the standard library's parser finds just what was meant."""

import email
import email.policy
import re
from datetime import UTC, datetime
from email.message import EmailMessage, Message  # noqa: TID251  what the parser makes

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clarion.notifications.channels.email.headers import (
    Address,
    Unwritable,
    ascii_domain,
    clean,
    header,
    structured,
)
from clarion.notifications.channels.email.message import (
    Letter,
    message_id,
    read_message_id,
    thread_id,
    write,
)
from clarion.notifications.channels.email.mime import File

WHEN = datetime(2026, 11, 26, 8, 30, tzinfo=UTC)
ID = "0199c3a1-2b7e-7c10-9a55-5d1f0c6a7e21.2.0"
OURS = {
    "Date", "Message-ID", "From", "To", "Cc", "Reply-To", "Subject", "In-Reply-To", "References", "List-Unsubscribe",
    "List-Unsubscribe-Post", "Auto-Submitted", "X-Auto-Response-Suppress", "MIME-Version", "Content-Type",
    "Content-Transfer-Encoding", "X-Given",
}  # fmt: skip
HOSTILE = st.one_of(
    st.text(max_size=300),
    st.text(st.sampled_from('\r\n\0\t =?utf-8qQbB_:<>,;"\\()[]@aé😀\u2028\ud800'), max_size=120),
    st.sampled_from(
        [
            "=?utf-8?q?hi=0D=0ABcc=3A_evil=40x.org?=",
            "hi\r\nBcc: evil@x.org\r\n\r\nbody",
            "=?utf-8?b?aGkNCkJjYzogZXZpbEB4Lm9yZw==?=",
        ]
    ),
)


def letter(**more: object) -> Letter:
    said = {
        "id": message_id("default", ID, "example.com"),
        "date": WHEN,
        "sender": Address("Clarion <clarion@example.com>"),
        "to": [Address("ann@example.org")],
        "subject": "Hello",
        "text": "Hello Ann",
        **more,
    }
    return Letter(**said)  # type: ignore[arg-type]


def parsed(data: bytes) -> EmailMessage:
    found = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def check_wire(data: bytes) -> Message:
    """Lines end as they must, are short enough, and the headers are ours alone; returns what the parser makes of it."""
    assert b"\0" not in data
    assert not re.search(rb"[^\r]\n|\r[^\n]", data)
    head = data.partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 78
    assert max(map(len, data.split(b"\r\n"))) <= 998
    found = email.message_from_bytes(data)  # compat32: header values as they stand, nothing decoded
    assert set(found.keys()) <= OURS
    assert len(found.keys()) == len(set(found.keys()))
    return found


def said(message: Message, name: str) -> str:
    """A header, decoded as a reader shows it."""
    from email.header import decode_header, make_header

    return str(make_header(decode_header(message[name])))


@given(HOSTILE)
@example("x" * 300)
@example("é" * 300)
@example(" padded ")
def test_a_subject_is_a_subject(subject: str) -> None:
    """No subject adds a header, breaks a line or comes out as another text than it went in, but for what would break it."""
    found = check_wire(write(letter(subject=subject)))
    shown = re.sub(r"\r\n ", "", said(found, "Subject"))
    assert shown == clean(subject)[:500]


@settings(max_examples=60, deadline=None)
@given(name=HOSTILE, html=HOSTILE, text=HOSTILE, filename=HOSTILE, data=st.binary(max_size=200))
def test_whatever_is_in_it_stays_where_it_is(
    name: str, html: str, text: str, filename: str, data: bytes
) -> None:
    """Names, bodies and names of files come out where they went in."""
    quoted = name.replace('"', "'")
    try:
        sender = Address(f'"{quoted}" <clarion@example.com>')
    except Unwritable:
        assert clean(quoted) != quoted or not quoted.strip()  # what is no address is refused
        sender = Address("clarion@example.com")
    files = [File(filename, "application/pdf", data), File("l.png", "image/png", data, cid="logo")]
    said = letter(sender=sender, text=text, html=html, files=files)
    data_ = write(said)
    check_wire(data_)
    found = parsed(data_)
    expected = text.replace("\r\n", "\n").replace("\r", "\n").encode(errors="replace").decode()
    plain = found.get_body(("plain",))
    assert plain is not None
    if text:
        assert plain.get_content().replace("\r\n", "\n") == expected + "\n"
    parts = [part for part in found.walk() if part.get_filename() is not None]
    assert [part.get_payload(decode=True) for part in parts].count(data) >= 1 or not html
    attached = [part for part in parts if part.get_content_disposition() == "attachment"]
    assert attached[-1 if html else 0].get_payload(decode=True) == data
    assert found["From"].addresses[0].addr_spec == "clarion@example.com"


@pytest.mark.parametrize(
    "filename", ["a.pdf", "Räume & Preise.pdf", "x" * 200 + ".txt", 'q"uo\\te.pdf', "日本語" * 20]
)
def test_names_of_files_come_back(filename: str) -> None:
    """Plain, quoted, beyond ASCII, long: a reader saves it under its name."""
    found = parsed(write(letter(files=[File(filename, "application/pdf", b"%PDF")])))
    [attachment] = found.iter_attachments()
    assert attachment.get_filename() == filename
    assert attachment.get_content_type() == "application/pdf"


def test_each_thing_has_its_place() -> None:
    """Attachments beside the text and the HTML, images with the HTML that shows them."""
    files = [
        File("logo.png", "image/png", b"png", cid="logo"),
        File("report.pdf", "", b"pdf"),
        File("mail.eml", "message/rfc822", b"Subject: x"),
    ]
    found = parsed(write(letter(html='<img src="cid:logo"><p>Hi', text="", files=files)))
    assert [part.get_content_type() for part in found.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
        "application/octet-stream",
    ]
    assert [part["Content-ID"] for part in found.walk() if part["Content-ID"]] == ["<logo>"]


def test_a_text_alone_has_no_frame() -> None:
    """An email of text is one part; its lines of dots and its long lines survive."""
    text = ".\n..\n" + "x" * 2_000 + "\n \nend"
    data = write(letter(text=text))
    found = parsed(data)
    assert found.get_content_type() == "text/plain"
    assert found.get_content().replace("\r\n", "\n") == text + "\n"
    assert max(map(len, data.split(b"\r\n"))) <= 78


def test_a_text_of_another_script_is_not_three_times_as_long() -> None:
    """Where quoted-printable would say each letter with nine characters, base64 is taken."""
    data = write(letter(text="日本語" * 500))
    assert b"base64" in data
    assert len(data) < 3 * 3 * 500 * 1.5
    assert parsed(data).get_content().rstrip() == "日本語" * 500


def test_the_same_letter_is_the_same_bytes() -> None:
    """A message that is sent again does not look like another one."""
    full = letter(html="<p>Hi", files=[File("a", "text/plain", b"x")])
    assert write(full) == write(full)


def test_headers_of_conversations_and_of_the_way_out() -> None:
    """Emails of one conversation refer to one id; one click ends them; no out-of-office answers."""
    thread = thread_id("default", "issue 17", "example.com")
    found = parsed(
        write(
            letter(
                thread=thread,
                unsubscribe="https://c.example/out/abc",
                cc=[Address("Bob <bob@example.org>"), Address("cy@example.org")],
                reply_to=[Address("reply@example.com")],
                headers=[("X-Given", "x")],
            )
        )
    )
    assert found["In-Reply-To"] == found["References"] == thread
    assert found["List-Unsubscribe"] == "<https://c.example/out/abc>"
    assert found["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert found["Auto-Submitted"] == "auto-generated"
    assert found["Message-ID"] == f"<{ID}@example.com>"
    assert found["Date"].datetime == WHEN
    assert [each.addr_spec for each in found["Cc"].addresses] == ["bob@example.org", "cy@example.org"]  # fmt: skip
    assert found["Reply-To"].addresses[0].addr_spec == "reply@example.com"
    assert thread != thread_id("other", "issue 17", "example.com")


def test_ids_tell_whose_message_it_is() -> None:
    """A provider's word about a Message-ID leads to the tenant's message; about another's to nothing."""
    for tenant in ("default", "acme", "ä b"):
        assert read_message_id(message_id(tenant, ID, "example.com")) == (tenant, ID)
    assert read_message_id(f"{ID}@example.com") == ("default", ID)
    for other in ("", "<x@example.com>", f"<{ID}.t-a@e.com>", f"<{ID}.t-74======@e.com>", f"<{ID}.t-74@e.com>"):  # fmt: skip
        assert read_message_id(other) is None


@pytest.mark.parametrize(
    ("given", "spec", "name"),
    [
        ("ann@example.org", "ann@example.org", ""),
        (" Ann Lee <ann@Example.ORG> ", "ann@example.org", "Ann Lee"),
        ('"Lee, Ann" <ann+tag@example.org>', "ann+tag@example.org", "Lee, Ann"),
        ("Jürg <jurg@bücher.example>", "jurg@xn--bcher-kva.example", "Jürg"),
        ("müller@example.org", "müller@example.org", ""),
        ("ann@localhost", "ann@localhost", ""),
    ],
)
def test_addresses(given: str, spec: str, name: str) -> None:
    """With a name or without; a domain beyond ASCII is written in ASCII; letters beyond ASCII before the @ need SMTPUTF8."""
    address = Address(given)
    assert (address.spec, address.name) == (spec, name)
    assert address.is_utf8 == (not spec.isascii())
    assert letter(to=[address]).is_utf8 == address.is_utf8


@pytest.mark.parametrize(
    "given",
    [
        "", "ann", "@x.org", "ann@", "a b@x.org", "ann@x..org", "ann@-x.org", ".ann@x.org", "ann.@x.org", "a@b@x.org",
        "ann@x.org\r\nBcc: e@x.org", "Ann\r\n <ann@x.org>\r\nBcc: e@x.org", "<ann@x.org> e@x.org", "ann@[127.0.0.1]",
        f"{'a' * 65}@x.org", f"ann@{'a' * 64}.org", f"ann@{'a.' * 130}org", "ü..b@x.org", ".ü@x.org", "ann@\udc80.org", "ü\0@x.org",
        "ann@xn--\u00e4.org", '"a"b" <ann@x.org>', "ann@ü_.org",
        f"x{' ' * 10_000}<", f"{' ' * 10_000}x",  # would take hours where spaces are tried in all ways
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(given: str) -> None:
    """Whatever could be read as more than one address, or as a header, is none."""
    with pytest.raises(Unwritable):
        Address(given)


@given(HOSTILE)
def test_no_address_brings_another_header(text: str) -> None:
    """What is taken for an address is written as one."""
    try:
        address = Address(text)
    except Unwritable:
        return
    found = email.message_from_bytes(write(letter(to=[address])))
    assert set(found.keys()) <= OURS


def test_free_text_that_breaks_a_header_is_refused() -> None:
    """`header` and `structured` refuse what only `clean` makes harmless."""
    assert header("Subject", "hello") == b"Subject: hello\r\n"
    with pytest.raises(Unwritable):
        header("Subject", "a\r\nb")
    for part in ("", "a\r\nb", "é", "x" * 901):
        with pytest.raises(Unwritable):
            structured("X", [part])
    with pytest.raises(Unwritable):
        ascii_domain("a" * 300)
