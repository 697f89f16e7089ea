"""The environment, typed: every variable that the workers read, with its default and its meaning."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from recipes.loader import folders
from workers.errors import WorkersError
from workers.settings_table import DEFAULTS

QUEUE = "advance"


class SettingsError(WorkersError):
    """A variable of the environment is missing or cannot be read."""


class Settings(Struct, frozen=True, kw_only=True):
    """What one installation is told from outside. Secrets that recipes want stay in `environ`."""

    redis_url: str
    home: Path
    installation: str
    clouds: tuple[str, ...] | None
    """None: every cloud that is usable."""
    lease: timedelta
    """How long a machine lives without being told to live on."""
    default_recipe: str
    recipe_folders: tuple[Path, ...]
    prices: Path | None
    sweep_every: timedelta
    control_lease: timedelta
    """For so long the work of a process that died is left to nobody."""
    keep_trying_every: timedelta
    """How often a dry ladder is climbed again, where somebody asked for that."""
    gateway: "GatewaySettings"
    environ: Mapping[str, str]


class GatewaySettings(Struct, frozen=True, kw_only=True):
    """How the gateway is reached, and how large it is."""

    bind: str
    """`host:port` where it listens."""
    url: str
    """The address that people see, without a path."""
    internal_url: str | None
    """Where the bot and the workers reach it, if not there."""
    backends: int
    """Deployments that it has room for before it grows."""
    hold: timedelta
    """For so long a request waits for a replica."""
    buffer: int
    """Bytes of a request that are kept, so that another replica can be asked; longer ones are asked once."""
    certificate: Path | None
    certificate_key: Path | None
    metrics: str | None
    """`host:port` of Prometheus metrics; None: none."""
    folder: Path
    """HAProxy's configuration, keys and sockets."""
    attached: bool
    """HAProxy is started by others, on the same folder."""


def from_environ(environ: Mapping[str, str], *, needs_redis: bool = True) -> Settings:
    """Read the settings; raises SettingsError with the mend."""
    redis_url = environ.get("REDIS_URL", "")
    if needs_redis and not redis_url:
        raise SettingsError(
            "REDIS_URL is not set. Start a Valkey or Redis with its append-only file on, for example with "
            "`valkey-server --appendonly yes`, and set REDIS_URL=redis://localhost:6379/0. "
            "To look around without one, run `make demo`."
        )
    if redis_url and not redis_url.startswith(("redis://", "rediss://", "unix://")):
        raise SettingsError(f"REDIS_URL={redis_url!r} is no address: write it as redis://localhost:6379/0.")
    home = home_of(environ)
    clouds = environ.get("MIXTRAL_CLOUDS", "")
    return Settings(
        redis_url=redis_url,
        home=home,
        installation=installation_of(home, environ),
        clouds=tuple(word.strip().lower() for word in clouds.split(",") if word.strip()) if clouds else None,
        lease=_duration(environ, "MIXTRAL_LEASE"),
        default_recipe=environ.get("MIXTRAL_DEFAULT_RECIPE") or DEFAULTS["MIXTRAL_DEFAULT_RECIPE"],
        recipe_folders=tuple(folders(environ)),
        prices=Path(environ["MIXTRAL_PRICES"]) if environ.get("MIXTRAL_PRICES") else None,
        sweep_every=_duration(environ, "MIXTRAL_SWEEP_EVERY"),
        control_lease=_duration(environ, "MIXTRAL_CONTROL_LEASE"),
        keep_trying_every=_duration(environ, "MIXTRAL_KEEP_TRYING_EVERY"),
        gateway=_gateway(home, environ),
        environ=environ,
    )


def _gateway(home: Path, environ: Mapping[str, str]) -> GatewaySettings:
    bind = environ.get("MIXTRAL_GATEWAY_BIND") or DEFAULTS["MIXTRAL_GATEWAY_BIND"]
    host, _, port = bind.rpartition(":")
    if not port.isdigit() or not 0 < int(port) < 2**16:
        raise SettingsError(f"MIXTRAL_GATEWAY_BIND={bind!r} is no address to listen at: write 0.0.0.0:8000.")
    certificate, key = (_file(environ, name) for name in ("MIXTRAL_TLS_CERT", "MIXTRAL_TLS_KEY"))
    if (certificate is None) != (key is None):
        raise SettingsError("MIXTRAL_TLS_CERT and MIXTRAL_TLS_KEY go together: set both, or neither.")
    scheme = "https" if certificate else "http"
    folder = environ.get("MIXTRAL_GATEWAY_FOLDER")
    return GatewaySettings(
        bind=f"{host or '0.0.0.0'}:{port}",
        url=_url(environ, "MIXTRAL_GATEWAY_URL") or f"{scheme}://localhost:{port}",
        internal_url=_url(environ, "MIXTRAL_GATEWAY_INTERNAL_URL"),
        backends=_count(environ, "MIXTRAL_GATEWAY_BACKENDS"),
        hold=_duration(environ, "MIXTRAL_GATEWAY_HOLD"),
        buffer=_count(environ, "MIXTRAL_GATEWAY_BUFFER"),
        certificate=certificate,
        certificate_key=key,
        metrics=environ.get("MIXTRAL_GATEWAY_METRICS") or None,
        folder=Path(folder) if folder else home / "gateway",
        attached=environ.get("MIXTRAL_HAPROXY") == "attached",
    )


def _file(environ: Mapping[str, str], name: str) -> Path | None:
    return Path(environ[name]) if environ.get(name) else None


def _url(environ: Mapping[str, str], name: str) -> str | None:
    url = environ.get(name, "").rstrip("/")
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise SettingsError(f"{name}={url!r} is no address: write it without a path, as https://models.example.com.")
    return url


def _count(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "").strip() or DEFAULTS[name]
    if not text.isdigit() or int(text) < 1:
        raise SettingsError(f"{name}={text!r} is no whole number above 0: the default is {DEFAULTS[name]}.")
    return int(text)


def home_of(environ: Mapping[str, str]) -> Path:
    """The folder of this installation's files; made if it is not there."""
    home = Path(environ.get("MIXTRAL_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".mixtral-bot")
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return home
    except OSError as error:
        raise SettingsError(
            f"{home} cannot be written ({error.strerror}). Set MIXTRAL_HOME to a folder that can."
        ) from error


def installation_of(home: Path, environ: Mapping[str, str]) -> str:
    """The id that every machine of ours is tagged with: it outlives Redis, so it lives in a file."""
    if given := environ.get("MIXTRAL_INSTALLATION"):
        return given
    file = home / "installation"
    if not file.exists():
        handle, draft = tempfile.mkstemp(dir=home, prefix=".installation-")
        with os.fdopen(handle, "w") as new:
            new.write(f"i-{secrets.token_hex(6)}\n")
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)  # whole or not at all, and the first one wins
        Path(draft).unlink()
    id_ = file.read_text().strip()
    if not id_:
        raise SettingsError(
            f"{file} is empty: machines are found by the id in it. Restore it from a backup; or, if no machine of this "
            "installation runs anywhere, delete it."
        )
    return id_


UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(environ: Mapping[str, str], name: str) -> timedelta:
    text = environ.get(name, "").strip() or DEFAULTS[name]
    number, unit = (text[:-1], text[-1]) if text[-1] in UNITS else (text, "s")
    try:
        duration = timedelta(**{UNITS[unit]: float(number)})
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"{name}={text!r} is no duration: write 90s, 30m, 24h or 2d.") from error
    if duration <= timedelta():
        raise SettingsError(f"{name}={text!r} has to be longer than nothing: write 90s, 30m, 24h or 2d.")
    return duration


KEEP_TRYING_EVERY = _duration({}, "MIXTRAL_KEEP_TRYING_EVERY")
"""The default; equal to the time for which a refusal for lack of capacity is believed."""
