"""Who is calling: identity, end, and what a revocation ends."""

from clarion.auth.principal import DEFAULT_TENANT, Principal, Revoked, system


def test_a_principal_without_anything_may_nothing() -> None:
    """What a credential does not say is not allowed, and belongs to the default tenant."""
    ann = Principal(id="ann")
    assert (ann.tenant, ann.kind) == (DEFAULT_TENANT, "user")
    assert (ann.scopes, ann.rooms, ann.topics) == (frozenset(), {}, {})


def test_the_same_id_in_another_tenant_or_kind_is_somebody_else() -> None:
    """Counts and caches per caller never mix a user with a key of the same name, or two tenants."""
    callers = [
        Principal(id="a"),
        Principal(id="a", kind="key"),
        Principal(id="a", tenant="b"),
        Principal(id="b", tenant="a"),
    ]
    assert len({caller.key for caller in callers}) == 4


def test_a_principal_ends_at_its_time() -> None:
    """It ends in the millisecond that it names; one without an end never does."""
    assert not Principal(id="ann", expires_ms=1000).has_expired(999)
    assert Principal(id="ann", expires_ms=1000).has_expired(1000)
    assert not Principal(id="ann").has_expired(2**60)


def test_the_operator_may_all_and_has_no_end() -> None:
    """A system principal holds every scope."""
    cli = system("cli")
    assert (cli.kind, cli.scopes, cli.expires_ms) == ("system", frozenset({"*"}), None)


def test_a_revocation_ends_that_login_alone() -> None:
    """Other logins of the user, other users, other tenants and keys go on."""
    revoked = Revoked(tenant="default", kind="user", id="ann", family="f1")
    assert revoked.ends(Principal(id="ann", family="f1"))
    assert not revoked.ends(Principal(id="ann", family="f2"))
    assert not revoked.ends(Principal(id="ann"))
    assert not revoked.ends(Principal(id="ben", family="f1"))
    assert not revoked.ends(Principal(id="ann", family="f1", tenant="other"))
    assert not revoked.ends(Principal(id="ann", family="f1", kind="key"))


def test_a_block_ends_all_of_a_user() -> None:
    """Every login of theirs and tokens of the application's; not those of others."""
    blocked = Revoked(tenant="default", kind="user", id="ann", is_blocked=True)
    assert blocked.ends(Principal(id="ann", family="f1"))
    assert blocked.ends(Principal(id="ann"))
    assert not blocked.ends(Principal(id="ben"))
    assert not blocked.ends(Principal(id="ann", tenant="other"))
    assert not blocked.ends(Principal(id="ann", kind="key"))


def test_a_revoked_key_ends_what_came_in_with_it() -> None:
    """Keys have no families: the key itself is what ends."""
    revoked = Revoked(tenant="default", kind="key", id="k1")
    assert revoked.ends(Principal(id="k1", kind="key"))
    assert not revoked.ends(Principal(id="k2", kind="key"))
