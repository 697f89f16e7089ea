"""The environment, typed: every variable that the workers read, with its default and its meaning."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from msgspec import Struct

from recipes.loader import folders
from workers.errors import WorkersError

QUEUE = "advance"

KEEP_TRYING_EVERY = timedelta(minutes=5)
"""As long as a refusal for want of capacity is believed: whoever is asked sooner is one who said something else."""


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
    environ: Mapping[str, str]


def from_environ(environ: Mapping[str, str], *, needs_redis: bool = True) -> Settings:
    """Read the settings; raises SettingsError with the mend."""
    redis_url = environ.get("REDIS_URL", "")
    if needs_redis and not redis_url:
        raise SettingsError(
            "REDIS_URL is not set. Start a Valkey or Redis with its append-only file on, for example with "
            "`docker compose up valkey`, and set REDIS_URL=redis://localhost:6379/0. "
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
        lease=_duration(environ, "MIXTRAL_LEASE", timedelta(hours=24)),
        default_recipe=environ.get("MIXTRAL_DEFAULT_RECIPE") or "mixtral-8x7b",
        recipe_folders=tuple(folders(environ)),
        prices=Path(environ["MIXTRAL_PRICES"]) if environ.get("MIXTRAL_PRICES") else None,
        sweep_every=_duration(environ, "MIXTRAL_SWEEP_EVERY", timedelta(seconds=1)),
        control_lease=_duration(environ, "MIXTRAL_CONTROL_LEASE", timedelta(seconds=10)),
        keep_trying_every=_duration(environ, "MIXTRAL_KEEP_TRYING_EVERY", KEEP_TRYING_EVERY),
        environ=environ,
    )


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


def _duration(environ: Mapping[str, str], name: str, default: timedelta) -> timedelta:
    text = environ.get(name, "").strip()
    if not text:
        return default
    number, unit = (text[:-1], text[-1]) if text[-1] in UNITS else (text, "s")
    try:
        duration = timedelta(**{UNITS[unit]: float(number)})
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"{name}={text!r} is no duration: write 90s, 30m, 24h or 2d.") from error
    if duration <= timedelta():
        raise SettingsError(f"{name}={text!r} has to be longer than nothing: write 90s, 30m, 24h or 2d.")
    return duration
