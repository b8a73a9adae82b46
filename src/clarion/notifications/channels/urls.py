"""A provider as a URL: `smtp://user:password@mail.example.com:587?rate=50&concurrency=10`.

Everything that is needed to reach it stands in one line of the settings. User and password are percent-encoded where they have to
be. What is shown of it anywhere is its name.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from clarion.errors import SettingsError

_URL: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:(?P<info>[^@/?#]*)@)?(?P<host>\[[^]]*\]|[^:/?#@]*)(?::(?P<port>\d+))?(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?"
)
_NAME: Final = re.compile(r"[\w.:+-]{1,64}")
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)(?:/([smh]))?")
_SPAN_S: Final[Mapping[str | None, int]] = {None: 1, "s": 1, "m": 60, "h": 3_600}


class ProviderUrl(Struct, frozen=True):
    """What a URL says, decoded.

    Attributes:
        name: What the provider is called in records, metrics and answers: `?name=`, else scheme and host.
        rate: Messages a second (`?rate=50`, `100/m`, `1000/h`), in each process; None: no limit.
        burst: How many of them at once; None: a tenth of a second's, one at least.
        concurrency: Messages in its hands at a time, in each process; None: as the setting says.
        timeout_s: For its answer; None: as the setting says.
        options: What else stands behind the `?`.
    """

    scheme: str
    user: str
    password: str
    host: str
    port: int | None
    path: str
    name: str
    rate: float | None
    burst: float | None
    concurrency: int | None
    timeout_s: float | None
    options: Mapping[str, str]
    setting: str

    def __repr__(self) -> str:
        """Without its secrets."""
        return f"ProviderUrl({self.name!r})"

    def only(self, *known: str) -> None:
        """Refuse options that the provider does not have.

        Raises:
            SettingsError: There is another.
        """
        if others := sorted(set(self.options) - set(known)):
            have = ", ".join([*known, "name", "rate", "burst", "concurrency", "timeout"])
            raise self.wrong(f"has no option {others[0][:40]!r}; there are {have}")

    def wrong(self, detail: str) -> SettingsError:
        """An error that names the setting and the provider, and shows nothing of the URL."""
        return SettingsError(f"{self.setting}: {self.name}: {detail}")


def read_provider(text: str, setting: str) -> ProviderUrl:
    """Read a provider's URL.

    Args:
        text: The URL.
        setting: Where it stands, for errors: `email.providers`.

    Raises:
        SettingsError: It is none, or one of the options that all providers have is no good. It does not show the URL.
    """
    found = _URL.fullmatch(text.strip())
    if found is None:
        raise SettingsError(
            f"{setting}: a provider is a URL, scheme://user:password@host:port?option=value"
        )
    options: dict[str, str] = {}
    for name, value in parse_qsl(found["query"] or "", keep_blank_values=True):
        if name in options:
            raise SettingsError(f"{setting}: a provider has the option {name[:40]!r} twice")
        options[name] = value
    user, _, password = (found["info"] or "").partition(":")
    scheme, host = found["scheme"], unquote(found["host"]).strip("[]")
    name = options.pop("name", "") or (f"{scheme}:{host}" if host else scheme)
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"{setting}: a {scheme} provider needs a name of letters, digits and . : + - _ (?name=…)"
        )

    def wrong(option: str, wanted: str) -> SettingsError:
        return SettingsError(f"{setting}: {name}: {option} must be {wanted}")

    rate = None
    if (given := options.pop("rate", None)) is not None:
        read = _RATE.fullmatch(given)
        if read is None or float(read[1]) <= 0:
            raise wrong("rate", "a number above 0 a second, or 100/m, 1000/h")
        rate = float(read[1]) / _SPAN_S[read[2]]

    def number(option: str, least: float, most: float) -> float | None:
        given = options.pop(option, None)
        if given is None:
            return None
        try:
            value = float(given)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise wrong(option, f"between {least:g} and {most:g}")
        return value

    burst = number("burst", 1, 100_000)
    concurrency = number("concurrency", 1, 10_000)
    timeout_s = number("timeout", 0.1, 100)
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 65536:
        raise wrong("the port", "between 1 and 65535")
    return ProviderUrl(
        scheme=scheme,
        user=unquote(user),
        password=unquote(password),
        host=host,
        port=port,
        path=found["path"] or "",
        name=name,
        rate=rate,
        burst=burst,
        concurrency=None if concurrency is None else int(concurrency),
        timeout_s=timeout_s,
        options=options,
        setting=setting,
    )
