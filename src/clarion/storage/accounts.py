"""Accounts and logins: rows and statements.

A login is a family of tokens: one row that holds the digest of the refresh token that is good now. Whatever changes a login
updates this one row, so that two calls about it have an order on both engines. '' in a column says: not known.
"""

from msgspec import Struct

from clarion.storage.store import Procedure, Sql


class Account(Struct, frozen=True):
    """One who may sign in; `scopes` is a list with spaces, `demo` 1 for an account that --demo made."""

    id: str
    name: str
    password: str
    scopes: str
    demo: int


class Login(Struct, frozen=True):
    """A family of tokens; times are ms since 1970."""

    tenant: str
    family: str
    account: str
    digest: str
    access_ms: int
    expires_ms: int
    created_ms: int
    purge_ms: int


class Family(Struct, frozen=True):
    """Whose login it is, and until when one of its access tokens may be around."""

    tenant: str
    family: str
    account: str
    access_ms: int


# 1 row was added, or 0 when the id is taken.
ADD = Sql(
    """INSERT INTO account (tenant, id, name, password, scopes, demo, created_ms)
       VALUES (:tenant, :id, :name, :password, :scopes, 0, :now_ms) ON CONFLICT DO NOTHING"""
)

# 1 row was added or got its new password, or 0 when the id belongs to somebody.
ADD_DEMO = Sql(
    """INSERT INTO account (tenant, id, name, password, scopes, demo, created_ms)
       VALUES (:tenant, :id, :name, :password, :scopes, 1, :now_ms)
       ON CONFLICT (tenant, id) DO UPDATE SET password = excluded.password, scopes = excluded.scopes
       WHERE account.demo = 1"""
)

FIND = Sql(
    "SELECT id, name, password, scopes, demo FROM account WHERE tenant = :tenant AND id = :id",
    Account,
)

# Nothing happens if the password was changed since it was read.
REPLACE_HASH = Sql(
    """UPDATE account SET password = :password
       WHERE tenant = :tenant AND id = :id AND password = :former"""
)

ADD_LOGIN = Procedure(
    "add_login",
    Login,
    (
        Sql(
            """INSERT INTO login (tenant, family, account, digest, access_ms, expires_ms, created_ms, purge_ms)
               SELECT r.tenant, r.family, r.account, r.digest, r.access_ms, r.expires_ms, r.created_ms, r.purge_ms
               FROM {rows r}"""
        ),
    ),
)

# Only whoever holds the token that is good now gets a row, and only once: then the token is another.
ROTATE = Sql(
    """UPDATE login SET digest = :digest, access_ms = :access_ms, expires_ms = :expires_ms, purge_ms = :purge_ms
       WHERE tenant = :tenant AND family = :family AND digest = :former AND ended_ms IS NULL AND expires_ms > :now_ms
       RETURNING tenant, family, account, access_ms""",
    Family,
)

# The row stays for as long as an access token of it could be presented. A login whose refresh token is `spared` goes on: '' spares
# none. One that has ended comes again, so that a caller who did not see the end of the first call can repeat it.
END = Sql(
    """UPDATE login SET ended_ms = coalesce(ended_ms, :now_ms), purge_ms = access_ms
       WHERE tenant = :tenant AND family = :family AND digest <> :spared
       RETURNING tenant, family, account, access_ms""",
    Family,
)

# The revocations that still matter, of all tenants.
ENDED = Sql(
    """SELECT tenant, family, account, access_ms FROM login
       WHERE ended_ms IS NOT NULL AND access_ms > :now_ms ORDER BY tenant, family""",
    Family,
)

# Slice by slice, so that nobody waits long behind it.
PURGE = Sql(
    """DELETE FROM login WHERE (tenant, family) IN
       (SELECT tenant, family FROM login WHERE purge_ms <= :now_ms LIMIT :n)"""
)
