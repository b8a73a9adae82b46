"""Who may come in: accounts and their logins, API keys, and the one check of every credential."""

from clarion.accounts.accounts import Accounts
from clarion.accounts.authenticator import Authenticator, trusted_issuers
from clarion.accounts.blocks import Block, Blocks, NewBlock
from clarion.accounts.forms import (
    ApiKeyInfo,
    CreateKey,
    Credentials,
    NewAccount,
    NewApiKey,
    RefreshToken,
    SignedIn,
    User,
)
from clarion.accounts.hashing import Hasher
from clarion.accounts.jwks import KeySet
from clarion.accounts.keys import Keys
from clarion.accounts.opened import Opened
from clarion.accounts.revocations import Revocations
from clarion.accounts.secrets import Secrets, load_secrets
from clarion.accounts.shared import REVOKED, Shared, teller
from clarion.accounts.upkeep import Upkeep

__all__ = [
    "REVOKED",
    "Accounts",
    "ApiKeyInfo",
    "Authenticator",
    "Block",
    "Blocks",
    "CreateKey",
    "Credentials",
    "Hasher",
    "KeySet",
    "Keys",
    "NewAccount",
    "NewApiKey",
    "NewBlock",
    "Opened",
    "RefreshToken",
    "Revocations",
    "Secrets",
    "Shared",
    "SignedIn",
    "Upkeep",
    "User",
    "load_secrets",
    "teller",
    "trusted_issuers",
]
