"""Downloads files that people uploaded to Slack, with the bot's token."""

import logging
from collections.abc import Callable
from typing import NoReturn

import httpx

from bot.slack.hosts import is_slacks

_LOG = logging.getLogger(__name__)

REDIRECTS = 2
"""Maximum number of redirects, all to the same host."""

_TIMEOUT = httpx.Timeout(connect=5, read=10, write=10, pool=5)

NO_ACCESS = (
    "Slack does not show it to the bot; an admin has to add the scope `files:read` and reinstall the app "
    "(`mixtral-bot check` lists what is missing)"
)


class NoFile(Exception):
    """A file cannot be downloaded. The text is the cause and the mend, for people, without a period."""


class DownloadAbandoned(Exception):
    """The file is not wanted any more."""


class SlackFiles:
    """Safe to use from several threads. The token is sent to Slack's hosts only, or to that of another Web API."""

    def __init__(self, token: str, api_url: str) -> None:
        self._token, self._api = token, httpx.URL(api_url)

    def read(self, url: str, *, limit: int, size: int, is_page: bool, is_wanted: Callable[[], bool]) -> bytes:
        """Return the content of a file of at most `limit` bytes. Raises NoFile, DownloadAbandoned.

        `size`: in bytes, as Slack reports it. `is_page`: whether the file is HTML, as is Slack's login page, which
        Slack sends with status 200 instead of a file that the token may not read.
        """
        try:
            with httpx.Client(timeout=_TIMEOUT) as http:
                content, kind = self._followed(http, httpx.URL(url), limit, is_wanted)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            _LOG.info("a file was not downloaded: %s", type(error).__name__)
            raise NoFile("Slack did not send it; ask again") from error
        if kind.startswith("text/html") and not (is_page and len(content) == size):
            raise NoFile(NO_ACCESS)
        return content

    def _followed(
        self, http: httpx.Client, url: httpx.URL, limit: int, is_wanted: Callable[[], bool]
    ) -> tuple[bytes, str]:
        for _ in range(REDIRECTS + 1):
            if not is_slacks(url, self._api):
                raise NoFile("its address is not one of Slack; upload it here")
            headers = {"Authorization": f"Bearer {self._token}", "Accept-Encoding": "identity"}
            with http.stream("GET", url, headers=headers, follow_redirects=False) as answer:
                if not answer.has_redirect_location:
                    return _content(answer, limit, is_wanted), answer.headers.get("content-type", "").lower()
                target = url.join(answer.headers["location"])
            if target.host != url.host or "redir" in target.params:
                raise NoFile(NO_ACCESS)  # to the page where a person logs in
            url = target
        raise NoFile("Slack did not send it; ask again")


def _content(answer: httpx.Response, limit: int, is_wanted: Callable[[], bool]) -> bytes:
    if answer.status_code != httpx.codes.OK:
        _refused(answer.status_code)
    said = answer.headers.get("content-length", "")
    found = bytearray()
    if said.isdigit() and int(said) > limit:
        raise NoFile(too_large(int(said), limit))
    for some in answer.iter_bytes():
        if not is_wanted():
            raise DownloadAbandoned
        found += some
        if len(found) > limit:
            raise NoFile(too_large(len(found), limit, is_open=True))
    return bytes(found)


def _refused(status: int) -> NoReturn:
    _LOG.info("a file was not downloaded: status %s", status)
    if status in (401, 403):
        raise NoFile(NO_ACCESS)
    if status in (404, 410):
        raise NoFile("it was deleted")
    raise NoFile(f"Slack did not send it (status {status}); ask again")


def too_large(size: int, limit: int, *, is_open: bool = False) -> str:
    """Why a file was not read. In bytes. `is_open`: the file was not read to its end."""
    has = f"more than {_bytes(limit)}" if is_open else _bytes(size)
    return f"it has {has}, and at most {_bytes(limit)} are read; paste the part that matters"


def _bytes(size: int) -> str:
    for unit, least in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= least:
            return f"{size / least:.3g} {unit}"
    return f"{size} bytes"
