"""Names of topics: `kind:name` of a tenant."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from clarion.errors import Invalid


class Topic(Struct, frozen=True):
    """A topic's whole name: `inbox:ada` of a tenant."""

    tenant: str
    kind: str
    name: str

    @property
    def wire(self) -> str:
        """As clients write it; the tenant is that of their token."""
        return f"{self.kind}:{self.name}"


def parse(tenant: str, text: str) -> Topic:
    """Take `kind:name` apart.

    Raises:
        Invalid: It is not of that form, or a pattern: those stand in tokens, and name no topic.
    """
    kind, colon, name = text.partition(":")
    if not kind or not colon or not name:
        raise Invalid(f"{text!r} is not a topic: topics are named kind:name, such as inbox:ada")
    if "*" in text:
        raise Invalid(f"{text!r} is a pattern: a topic's name has no *")
    return Topic(tenant, kind, name)


def by_tenant(topics: Sequence[Topic], n: int) -> Iterator[tuple[str, list[str]]]:
    """For statements about n names of one tenant: tenants, and exactly n of their topics' names; '' fills the last ones up."""
    names: dict[str, list[str]] = {}
    for topic in topics:
        names.setdefault(topic.tenant, []).append(topic.name)
    for tenant, whole in names.items():
        for at in range(0, len(whole), n):
            some = whole[at : at + n]
            yield tenant, some + [""] * (n - len(some))
