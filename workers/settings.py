"""The environment, typed: every variable that the workers read, with its default and its meaning."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from recipes.loader import folders
from workers.errors import WorkersError
from workers.settings_table import CLOUDS, DEFAULTS

QUEUE = "advance"
ENDS = "ends"
"""The queue of deployments that want no machine any more. One process of each host reads only it."""
OFF = "off"


def queue_of(host: str) -> str:
    """The queue that only the workers of one host read."""
    return f"{QUEUE}:{host}"


class SettingsError(WorkersError):
    """A variable of the environment is missing or cannot be read."""


class Settings(Struct, frozen=True, kw_only=True):
    """The settings of one installation. The secrets that recipes require are read from `environ` when they are used."""

    redis_url: str
    home: Path
    installation: str
    """The id that the environment or the home gives; empty if neither does: the id in Redis is then used."""
    clouds: tuple[str, ...] | None
    """None: every usable cloud."""
    lease: timedelta
    """Time after which a machine ends itself unless its lease is extended."""
    default_recipe: str
    recipe_folders: tuple[Path, ...]
    prices: Path | None
    prices_every: timedelta | None
    """Interval at which prices are refreshed; None: never."""
    sweep_every: timedelta
    control_lease: timedelta
    """Time after which another process may take over the work of a process that died."""
    keep_trying_every: timedelta
    """Interval at which a dry ladder is tried again after a person has chosen "Keep trying"."""
    audit_kept: timedelta
    """Time for which entries of the audit are kept."""
    metrics: str | None
    """`host:port` of Prometheus metrics of costs; None: off."""
    gateway: "GatewaySettings"
    environ: Mapping[str, str]


LEAST_GATEWAY_MEMORY = 256
"""In MiB."""


class GatewaySettings(Struct, frozen=True, kw_only=True):
    """Addresses, limits and files of the gateway."""

    bind: str
    """`host:port` on which it listens."""
    url: str
    """Its public address, without a path."""
    internal_url: str | None
    """Its address for the bot and the workers; None if it is `url`."""
    backends: int
    """Number of deployments before HAProxy is reloaded with a larger configuration."""
    hold: timedelta
    """Maximum time that a request waits for a replica."""
    buffer: int
    """Maximum size of a request that can be repeated at another replica, in bytes; a longer one is sent once."""
    memory: int | None
    """Maximum memory of HAProxy, in MiB; None: half of the machine's."""
    certificate: Path | None
    certificate_key: Path | None
    metrics: str | None
    """`host:port` of Prometheus metrics; None: off."""
    folder: Path
    """Folder of HAProxy's configuration, keys and sockets."""
    attached: bool
    """Whether HAProxy runs as a separate service on the same folder."""


def from_environ(environ: Mapping[str, str], *, needs_redis: bool = True) -> Settings:
    """Read the settings. Raises SettingsError, whose message contains the fix."""
    redis_url = _redis_url(environ)
    if needs_redis and not redis_url:
        raise SettingsError(
            "REDIS_URL is not set. Start Valkey or Redis with its append-only file on, for example with "
            "`valkey-server --appendonly yes`, and set REDIS_URL=redis://localhost:6379/0. "
            "To try the bot without Redis, run `make demo`."
        )
    home = home_of(environ)
    return Settings(
        redis_url=redis_url,
        home=home,
        installation=installation_of(home, environ),
        clouds=_clouds(environ.get("MIXTRAL_CLOUDS", "")),
        lease=_duration(environ, "MIXTRAL_LEASE"),
        default_recipe=environ.get("MIXTRAL_DEFAULT_RECIPE") or DEFAULTS["MIXTRAL_DEFAULT_RECIPE"],
        recipe_folders=tuple(folders(environ)),
        prices=Path(environ["MIXTRAL_PRICES"]) if environ.get("MIXTRAL_PRICES") else None,
        prices_every=_prices_every(environ),
        sweep_every=_duration(environ, "MIXTRAL_SWEEP_EVERY"),
        control_lease=_duration(environ, "MIXTRAL_CONTROL_LEASE"),
        keep_trying_every=_duration(environ, "MIXTRAL_KEEP_TRYING_EVERY"),
        audit_kept=_duration(environ, "MIXTRAL_AUDIT_KEPT"),
        metrics=environ.get("MIXTRAL_METRICS") or None,
        gateway=_gateway(home, environ),
        environ=environ,
    )


def _redis_url(environ: Mapping[str, str]) -> str:
    """The address, empty if it is not set. It may contain a password, so that no error quotes it."""
    url = environ.get("REDIS_URL", "")
    parts = _parts(url)
    if url and (parts is None or parts.scheme not in ("redis", "rediss", "unix")):
        raise SettingsError(
            "REDIS_URL is not a Redis address. Write it as redis://localhost:6379/0, or with a password as "
            "redis://:PASSWORD@HOST:6379/0, in which each / ? # [ ] @ of the password is percent-encoded."
        )
    return url


def _parts(url: str) -> SplitResult | None:
    """None if it cannot be an address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return None if port == 0 else parts


def _clouds(text: str) -> tuple[str, ...] | None:
    clouds = tuple(word.strip().lower() for word in text.split(",") if word.strip())
    if unknown := [cloud for cloud in clouds if cloud not in CLOUDS]:
        raise SettingsError(f"MIXTRAL_CLOUDS names {unknown[0]!r}. The clouds are {', '.join(CLOUDS)}.")
    return clouds or None


def _gateway(home: Path, environ: Mapping[str, str]) -> GatewaySettings:
    bind = environ.get("MIXTRAL_GATEWAY_BIND") or DEFAULTS["MIXTRAL_GATEWAY_BIND"]
    host, _, port = bind.rpartition(":")
    if not port.isdigit() or not 0 < int(port) < 2**16:
        raise SettingsError(f"MIXTRAL_GATEWAY_BIND={bind!r} is not a host and port. Write it as 0.0.0.0:8000.")
    certificate, key = (_file(environ, name) for name in ("MIXTRAL_TLS_CERT", "MIXTRAL_TLS_KEY"))
    if (certificate is None) != (key is None):
        raise SettingsError("MIXTRAL_TLS_CERT and MIXTRAL_TLS_KEY require each other. Set both, or neither.")
    scheme = "https" if certificate else "http"
    folder = environ.get("MIXTRAL_GATEWAY_FOLDER")
    return GatewaySettings(
        bind=f"{host or '0.0.0.0'}:{port}",
        url=_url(environ, "MIXTRAL_GATEWAY_URL") or f"{scheme}://localhost:{port}",
        internal_url=_url(environ, "MIXTRAL_GATEWAY_INTERNAL_URL"),
        backends=_count(environ, "MIXTRAL_GATEWAY_BACKENDS"),
        hold=_duration(environ, "MIXTRAL_GATEWAY_HOLD"),
        buffer=_count(environ, "MIXTRAL_GATEWAY_BUFFER"),
        memory=_memory(environ),
        certificate=certificate,
        certificate_key=key,
        metrics=environ.get("MIXTRAL_GATEWAY_METRICS") or None,
        folder=Path(folder) if folder else home / "gateway",
        attached=environ.get("MIXTRAL_HAPROXY") == "attached",
    )


def _prices_every(environ: Mapping[str, str]) -> timedelta | None:
    if environ.get("MIXTRAL_PRICES") or environ.get("MIXTRAL_PRICES_EVERY") == OFF:
        return None  # the operator's own table is used alone
    return _duration(environ, "MIXTRAL_PRICES_EVERY")


def _file(environ: Mapping[str, str], name: str) -> Path | None:
    return Path(environ[name]) if environ.get(name) else None


def _url(environ: Mapping[str, str], name: str) -> str | None:
    url = environ.get(name, "").rstrip("/")
    if not url:
        return None
    parts = _parts(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise SettingsError(f"{name}={url!r} is not an address. Write it as https://models.example.com, with no path.")
    return url


def _count(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "").strip() or DEFAULTS[name]
    if not text.isdigit() or int(text) < 1:
        raise SettingsError(f"{name}={text!r} is not a whole number above 0. The default is {DEFAULTS[name]}.")
    return int(text)


def _memory(environ: Mapping[str, str]) -> int | None:
    text = environ.get("MIXTRAL_GATEWAY_MEMORY", "").strip()
    if text and (not text.isdigit() or int(text) < LEAST_GATEWAY_MEMORY):
        raise SettingsError(
            f"MIXTRAL_GATEWAY_MEMORY={text!r} is not a whole number of MiB from {LEAST_GATEWAY_MEMORY} up. "
            "Without it, HAProxy may use half of the memory of the machine or container."
        )
    return int(text) if text else None


def home_of(environ: Mapping[str, str]) -> Path:
    """The folder of this installation's files, which is created if it is missing. Raises SettingsError."""
    home = Path(environ.get("MIXTRAL_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".mixtral-bot")
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return home
    except OSError as error:
        raise SettingsError(
            f"{home} cannot be written ({error.strerror}). Set MIXTRAL_HOME to a writable folder."
        ) from error


def installation_of(home: Path, environ: Mapping[str, str]) -> str:
    """The id in the tags of all machines, from the environment or from a file; empty if there is none yet."""
    if given := environ.get("MIXTRAL_INSTALLATION", "").strip():
        return given
    file = home / "installation"
    if not file.exists():
        return ""
    id_ = file.read_text().strip()
    if not id_:
        raise SettingsError(
            f"{file} is empty, but it has to contain the id by which machines are found. Restore it from a backup; or "
            "delete it, and the next start takes the id that Redis holds."
        )
    return id_


def host_of(home: Path) -> str:
    """The id of this worker host, by which its `local` machines are known; made at the first call."""
    return kept(home, "host", f"h-{secrets.token_hex(6)}")


def kept(home: Path, name: str, new: str) -> str:
    """The content of a file of the home, which is created with `new` if it is missing."""
    file = home / name
    if not file.exists():
        try:
            _write_once(file, f"{new}\n")
        except OSError as error:
            raise SettingsError(
                f"{file} cannot be written ({error.strerror}). Free disk space or correct the permissions, or set "
                "MIXTRAL_HOME to a writable folder."
            ) from error
    return file.read_text().strip() or new


def _write_once(file: Path, text: str) -> None:
    """Create a complete file; one that exists is kept. Raises OSError."""
    handle, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(handle, "w") as opened:
            opened.write(text)
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)  # atomic: of several processes, the first one creates the file
    finally:
        Path(draft).unlink()


UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(environ: Mapping[str, str], name: str) -> timedelta:
    text = environ.get(name, "").strip() or DEFAULTS[name]
    number, unit = (text[:-1], text[-1]) if text[-1] in UNITS else (text, "s")
    try:
        duration = timedelta(**{UNITS[unit]: float(number)})
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"{name}={text!r} is not a duration. Write it as 90s, 30m, 24h or 2d.") from error
    if duration <= timedelta():
        raise SettingsError(f"{name}={text!r} is not longer than 0 s. Write it as 90s, 30m, 24h or 2d.")
    return duration


KEEP_TRYING_EVERY = _duration({}, "MIXTRAL_KEEP_TRYING_EVERY")
"""The default; equal to the duration of a refusal for lack of capacity."""

AUDIT_KEPT = _duration({}, "MIXTRAL_AUDIT_KEPT")
"""The default."""
