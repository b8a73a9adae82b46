"""The client's table of codes, against the server's."""

import re
from pathlib import Path

from clarion.protocol.codes import CloseCode

TEXT = (Path(__file__).parents[2] / "clients/client/src/codes.ts").read_text()


def test_every_code_of_the_client_is_the_servers() -> None:
    """Names and numbers agree; the client may know fewer, as ranges carry the advice."""
    table = TEXT.split("codes = {")[1].split("}")[0]
    known = {name: int(number) for name, number in re.findall(r"(\w+): (\d+)", table)}
    ours = {code.reason: code.value for code in CloseCode if code.value >= 3000}
    assert known == ours
