"""Announcements that are lost are missed at once here: what is overtaken has a test of its own."""

from collections.abc import Iterator

import pytest

from clarion.topics import engine


@pytest.fixture(autouse=True, scope="package")
def impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "OVERTAKEN_S", 0)
        yield
