"""Stored templates as they are told. Pure."""

from datetime import datetime

from msgspec import Struct

from clarion.notifications.template import Template


class KeptTemplate(Struct, frozen=True):
    """A template in its current version, or the one that was asked for."""

    template: str
    version: int
    definition: Template
    author: str
    created_at: datetime


class TemplateVersion(Struct, frozen=True):
    """That there is a version, by whom, and since when."""

    version: int
    author: str
    created_at: datetime


class TemplatePut(Struct, frozen=True):
    """What came of giving a template: the version that is rendered now, whether it is a new one, and how it differs from the one before."""

    template: str
    version: int
    is_new: bool
    diff: str
    """Lines with `-` and `+`, each text under a pointer to it; '' if nothing changes."""


class TemplatePage(Struct, frozen=True):
    """Templates in the order of their keys; `next` is the cursor of the page that follows, null on the last one."""

    items: list[KeptTemplate]
    next: str | None


class VersionPage(Struct, frozen=True):
    """Versions of a template, the newest first; `next` is the cursor of the page that follows, null on the last one."""

    items: list[TemplateVersion]
    next: int | None
