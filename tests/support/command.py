"""The `clarion` command inside the process of the tests: the same flags, answers and exit status, without a second of start."""

import io
import os
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess
from unittest import mock

import pytest

from clarion.cli import main
from tests.support.server import clean_environment


def command(*arguments: str, env: dict[str, str] | None = None) -> "CompletedProcess[str]":
    """Run it to its end; where no answer comes it tries again without a pause."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with (
        mock.patch.dict(os.environ, clean_environment(**(env or {})), clear=True),
        mock.patch("clarion.cli.configure_logging"),  # it is for a whole process
        mock.patch("clarion.client.http.pause"),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main(list(arguments))
    said = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return CompletedProcess(arguments, int(ended.value.code or 0), *said)
