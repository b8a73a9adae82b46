"""Settings: frozen structs, one a part. Names, defaults, units and help are written here and nowhere else."""

from clarion.settings.auth import Auth
from clarion.settings.channels import Chat, Sms, Webhook
from clarion.settings.dashboards import Dashboards
from clarion.settings.email import Email
from clarion.settings.events import Events
from clarion.settings.limits import Limits
from clarion.settings.loading import Loaded, Source, checked, load
from clarion.settings.presence import Presence
from clarion.settings.push import Push
from clarion.settings.realtime import AdminUi, Realtime, check_password
from clarion.settings.sending import Sending
from clarion.settings.templates import Templates
from clarion.settings.upstream import Upstream, check_upstream, secret_of
from clarion.settings.whole import SECTIONS, Field, Settings, fields

__all__ = [
    "SECTIONS",
    "AdminUi",
    "Auth",
    "Chat",
    "Dashboards",
    "Email",
    "Events",
    "Field",
    "Limits",
    "Loaded",
    "Presence",
    "Push",
    "Realtime",
    "Sending",
    "Settings",
    "Sms",
    "Source",
    "Templates",
    "Upstream",
    "Webhook",
    "check_password",
    "check_upstream",
    "checked",
    "fields",
    "load",
    "secret_of",
]
