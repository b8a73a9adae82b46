"""All settings together, and what each of them is called in files, environment and flags."""

import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from clarion.settings.about import about
from clarion.settings.auth import Auth
from clarion.settings.backplane import Backplane
from clarion.settings.channels import Chat, Sms, Webhook
from clarion.settings.dashboards import Dashboards
from clarion.settings.email import Email
from clarion.settings.events import Events
from clarion.settings.limits import Limits
from clarion.settings.presence import Presence
from clarion.settings.push import Push
from clarion.settings.realtime import AdminUi, Realtime
from clarion.settings.sending import Sending
from clarion.settings.templates import Templates
from clarion.settings.upstream import Upstream


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    host: Annotated[str, about("Address to listen on")] = "127.0.0.1"
    port: Annotated[int, about("Port to listen on; 0 takes a free one", ge=0, le=65535)] = 8000
    workers: Annotated[
        int,
        about(
            "Processes of `clarion serve` that serve clients on this port; 1: this one. Several share the SQLite file, which another process owns, or PostgreSQL with `redis_url`",
            ge=1,
            le=256,
        ),
    ] = 1
    data_dir: Annotated[str, about("Folder of the database, the secrets and the local socket")] = (
        "data"
    )
    database_url: Annotated[str, about("`postgresql://…`; empty: SQLite in `data_dir`")] = ""
    redis_url: Annotated[
        str,
        about(
            "`redis://…`, `rediss://…`, `redis+sentinel://…` or `unix:///path`: topics are kept there, and processes that share it form one server"
        ),
    ] = ""
    redis_prefix: Annotated[
        str,
        about(
            "Before the names of all keys and channels in Redis; each server has one of its own",
            pattern="^[^{}]+$",
        ),
    ] = "clarion"
    node_url: Annotated[
        str,
        about(
            "Where the other processes of this server reach this one, `http://10.0.0.5:8000` (`{hostname}` stands for this machine's name); empty: nowhere, and clients that poll need sticky sessions between hosts. Of several workers each other's connections are handed over, without it",
            pattern="^(https?://[^/]+)?$",
        ),
    ] = ""
    public_url: Annotated[
        str, about("Where people reach this server; for links, and an allowed origin")
    ] = ""
    allowed_origins: Annotated[
        list[str], about("Further origins whose pages may call (comma-separated, or a list)")
    ] = []
    trusted_proxies: Annotated[
        list[str], about("Addresses whose X-Forwarded-* headers are believed")
    ] = []
    log_level: Annotated[
        str, about("debug, info, warning, error", pattern="^(debug|info|warning|error)$")
    ] = "info"
    log_json: Annotated[bool, about("One JSON object a line")] = False
    delivery: Annotated[
        str,
        about(
            "Whether messages of channels really leave: `live`; `allowlist`: to those of `delivery_allow`; `capture`: to nobody. What does not leave is kept, to be looked at",
            pattern="^(live|allowlist|capture)$",
        ),
    ] = "live"
    delivery_allow: Annotated[
        list[str],
        about(
            "With `allowlist`, whom messages reach: addresses, `@example.com`, hosts of URLs, `user:<id>`"
        ),
    ] = []
    demo: Annotated[bool, about("Two ready accounts with random passwords; loopback only")] = False
    auth: Auth = Auth()
    realtime: Realtime = Realtime()
    backplane: Backplane = Backplane()
    admin_ui: AdminUi = AdminUi()
    upstream: Upstream = Upstream()
    presence: Presence = Presence()
    dashboards: Dashboards = Dashboards()
    sending: Sending = Sending()
    email: Email = Email()
    webhook: Webhook = Webhook()
    sms: Sms = Sms()
    chat: Chat = Chat()
    templates: Templates = Templates()
    events: Events = Events()
    push: Push = Push()
    limits: Limits = Limits()


class Field(Struct, frozen=True):
    """One setting: where it stands, what it is for."""

    section: str
    name: str
    type: Any
    default: Any
    help: str

    @property
    def key(self) -> str:
        """As in `clarion.toml` and in messages: `limits.body_bytes`."""
        return f"{self.section}.{self.name}" if self.section else self.name

    @property
    def env(self) -> str:
        """As in the environment: `CLARION_LIMITS_BODY_BYTES`."""
        return "CLARION_" + self.key.replace(".", "_").upper()

    @property
    def flag(self) -> str:
        """As on the command line: `--limits.body-bytes`."""
        return "--" + self.key.replace("_", "-")

    @property
    def is_secret(self) -> bool:
        """Whether its value must not be shown."""
        return self.name in {
            "jwt_secret",
            "token_secret",
            "other_secrets",
            "redis_url",
            "database_url",
            "password",
            "secret",
            "providers",
            "hooks",
        }


SECTIONS: Mapping[str, type[Struct]] = {
    "auth": Auth,
    "realtime": Realtime,
    "backplane": Backplane,
    "admin_ui": AdminUi,
    "upstream": Upstream,
    "presence": Presence,
    "dashboards": Dashboards,
    "sending": Sending,
    "email": Email,
    "webhook": Webhook,
    "sms": Sms,
    "chat": Chat,
    "templates": Templates,
    "events": Events,
    "push": Push,
    "limits": Limits,
}


def fields() -> Iterator[Field]:
    """Every setting, those of no section first."""
    structs: dict[str, type[Struct]] = {"": Settings, **SECTIONS}
    for section, struct in structs.items():
        for field in msgspec.structs.fields(struct):
            if not section and field.name in SECTIONS:
                continue
            default = (
                field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            )
            yield Field(section, field.name, _bare(field.type), default, _description(field.type))


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _description(annotation: Any) -> str:
    metas = [
        m for m in getattr(annotation, "__metadata__", ()) if isinstance(m, Meta) and m.description
    ]
    return metas[0].description or "" if metas else ""


assert not any(get_origin(f.type) in (Union, types.UnionType) for f in fields()), (
    "a setting has one type"
)
