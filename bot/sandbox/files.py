"""Files that people upload: Slack's file objects, and the host from which the app downloads them."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from bot.sandbox import seed
from bot.sandbox.json_route import PageError
from bot.sandbox.limits import JSON
from bot.sandbox.seed import UserId
from bot.sandbox.stand_in import StandIn

MODES: Final = ("hosted", "snippet", "external", "tombstone", "hidden_by_limit")
PREVIEW: Final = 500
FILES_KEPT: Final = 200
LOGIN: Final = "<!DOCTYPE html><html><head><title>Slack</title></head><body>Sign in to Sandbox</body></html>"
_TYPES: Final = {
    "txt": ("text/plain", "text"),
    "log": ("text/plain", "text"),
    "md": ("text/markdown", "markdown"),
    "csv": ("text/csv", "csv"),
    "json": ("application/json", "json"),
    "py": ("text/x-python", "python"),
    "yaml": ("text/yaml", "yaml"),
    "html": ("text/html", "html"),
    "png": ("image/png", "png"),
    "jpg": ("image/jpeg", "jpg"),
    "gif": ("image/gif", "gif"),
    "webp": ("image/webp", "webp"),
    "pdf": ("application/pdf", "pdf"),
    "zip": ("application/zip", "zip"),
}


class Stored(msgspec.Struct, kw_only=True):
    """What the host serves for a file."""

    content: bytes
    repeat: int
    """How often the content is repeated, so that a test can have a large file."""
    delay: float
    """Seconds before each repetition."""
    mimetype: str
    redirect: str


class FileHost:
    """`/files-pri/TEAM-FILE/NAME`, for which the app needs its token and the scope files:read; `/page/file/FILE`."""

    def __init__(self, stand_in: StandIn, base_url: str) -> None:
        self._stand_in, self.base_url = stand_in, base_url
        self._stored: dict[str, Stored] = {}
        self.asked: list[str] = []
        """The files that were requested, by name."""

    def routes(self) -> list[Route]:
        return [Route("/files-pri/{file}/{name}", self.serve), Route("/page/file/{id}", self.show)]

    def stored(self, user: UserId, given: JSON) -> JSON:
        """Store an uploaded file, and return Slack's object of it. Raises PageError.

        `given`: {name, content (base64), mimetype?, mode?, size?, repeat?, delay?, redirect?, url?}.
        """
        name, mode = str(given["name"]), str(given.get("mode", "hosted"))
        if mode not in MODES:
            raise PageError(f"mode must be one of {', '.join(MODES)}")
        content = base64.b64decode(str(given.get("content", "")), validate=True)
        suffix = PurePosixPath(name).suffix.removeprefix(".").lower()
        mimetype, filetype = _TYPES.get(suffix, ("application/octet-stream", "binary"))
        file = Stored(
            content=content,
            repeat=int(given.get("repeat", 1)),
            delay=float(given.get("delay", 0)),
            mimetype=str(given.get("mimetype") or mimetype),
            redirect=str(given.get("redirect", "")),
        )
        id_ = f"F0{secrets.token_hex(4).upper()}"
        self._stored[id_] = file
        while len(self._stored) > FILES_KEPT:
            del self._stored[next(iter(self._stored))]
        if mode in ("tombstone", "hidden_by_limit"):
            return {"id": id_, "mode": mode}
        return self._object(id_, user, file, given | {"name": name, "mode": mode, "filetype": filetype})

    def _object(self, id_: str, user: UserId, file: Stored, given: JSON) -> JSON:
        now = int(self._stand_in.clock())
        name, mode = given["name"], given["mode"]
        url = str(given.get("url") or f"{self.base_url}/files-pri/{seed.TEAM_ID}-{id_}/{name}")
        made: JSON = {
            "id": id_,
            "created": now,
            "timestamp": now,
            "name": name,
            "title": name,
            "mimetype": file.mimetype,
            "filetype": given["filetype"],
            "pretty_type": given["filetype"].capitalize(),
            "user": user,
            "user_team": seed.TEAM_ID,
            "editable": mode == "snippet",
            "size": int(given.get("size", len(file.content) * file.repeat)),
            "mode": mode,
            "is_external": mode == "external",
            "external_type": "gdrive" if mode == "external" else "",
            "is_public": True,
            "public_url_shared": False,
            "display_as_bot": False,
            "username": "",
            "url_private": url,
            "permalink": f"{self.base_url}/files/{user}/{id_}/{name}",
            "has_rich_preview": False,
            "file_access": "visible",
        }
        if mode == "external":
            return made
        made["url_private_download"] = url
        if file.mimetype.startswith("text/"):
            text = file.content[: 4 * PREVIEW].decode(errors="ignore")
            made |= {
                "preview": text[:PREVIEW],
                "preview_is_truncated": len(text) > PREVIEW,
                "lines": text.count("\n") + 1,
            }
        return made

    async def show(self, request: Request) -> Response:
        """An image for the page, which a browser does not run as a page of its own."""
        file = self._stored.get(request.path_params["id"])
        if file is None or not file.mimetype.startswith("image/") or "svg" in file.mimetype:
            return PlainTextResponse("not found", 404)
        return Response(file.content, media_type=file.mimetype)

    async def serve(self, request: Request) -> Response:
        """A file; without the scope, Slack's login page with status 200; without a valid token, the way to it."""
        if request.headers.get("authorization") != f"Bearer {seed.BOT_TOKEN}" or self._stand_in.revoked:
            return RedirectResponse(f"{self.base_url}/?redir={request.url.path}", 302)
        self.asked.append(request.path_params["name"])
        if "files:read" not in self._stand_in.scopes:
            return HTMLResponse(LOGIN)
        file = self._stored.get(request.path_params["file"].partition("-")[2])
        if file is None:
            return PlainTextResponse("not found", 404)
        if file.redirect:
            return RedirectResponse(file.redirect, 302)
        return StreamingResponse(_pieces(file), media_type=file.mimetype)


async def _pieces(file: Stored) -> AsyncIterator[bytes]:
    for _ in range(file.repeat):
        if file.delay:
            await asyncio.sleep(file.delay)
        yield file.content
