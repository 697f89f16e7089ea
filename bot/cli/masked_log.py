"""The lines of the log of a process, with secrets masked: a cloud or an engine may quote one in an error."""

import logging
import re
from collections.abc import Iterable, Mapping

from workers.secrecy import masked

LINE = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

_SECRET = re.compile(r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|KEY|CREDENTIALS?)(?:$|_)")


class MaskedFormatter(logging.Formatter):
    """Also masks tracebacks, whose causes are the clouds' own errors."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__(LINE)
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record), self._secrets)


def secrets_of(environ: Mapping[str, str]) -> list[str]:
    """The values of variables whose names are those of secrets, without the paths of files."""
    return [value for name, value in environ.items() if _SECRET.search(name) and not value.startswith("/")]
