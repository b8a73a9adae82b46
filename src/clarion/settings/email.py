"""Email: through which servers it goes, who it is from, what is noticed of it."""

from typing import Annotated

from msgspec import Struct, field

from clarion.settings.about import about


class Email(Struct, frozen=True, forbid_unknown_fields=True):
    """Messages by email. Without a provider none is sent."""

    providers: Annotated[
        list[str],
        about(
            "Mail servers in the order in which they are asked: `smtp://user:password@host:587` (STARTTLS is insisted on), `smtps://…:465`; `?tls=none` for one that offers neither"
        ),
    ] = field(default_factory=list)
    sender: Annotated[
        str,
        about("Who emails are from: `Name <address>`; its domain names messages and conversations"),
    ] = "Clarion <clarion@localhost>"
    return_path: Annotated[
        str, about("Where mail servers send what they cannot deliver; empty: to the sender")
    ] = ""
    max_attempts: Annotated[
        int, about("Attempts of one email; after them it is a dead letter", ge=1, le=50)
    ] = 10
    tracking: Annotated[
        list[str],
        about(
            "What is noticed of emails: `opens`, `clicks`, both, or nothing. Needs public_url; a step says `track: false`"
        ),
    ] = field(default_factory=list)
    domain_rate: Annotated[
        float,
        about("Emails a second to one domain of recipients, in each process; 0: no limit", ge=0),
    ] = 0.0
    domain_concurrency: Annotated[
        int,
        about("Emails under way to one domain at a time, in each process; 0: no limit", ge=0),
    ] = 0
    attachments: Annotated[int, about("Attachments of one email", ge=0, le=50)] = 10
    attachment_bytes: Annotated[
        int, about("Bytes of the attachments of one email together", ge=0)
    ] = 10 << 20
    hooks: Annotated[
        list[str],
        about(
            "Who may tell what became of emails, each as `name:secret`: `generic`, `ses`, `postmark`, `mailgun`, `sendgrid`; it calls `/v1/hooks/email/{name}`"
        ),
    ] = field(default_factory=list)
