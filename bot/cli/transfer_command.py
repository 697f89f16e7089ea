"""`mixtral-bot export` and `import`: move an installation to another Redis."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from redis import Redis
from redis.exceptions import RedisError

from bot.cli.operate_command import audited
from bot.views.amounts import count
from workers.deployment.asked import note
from workers.deployment.log import Log
from workers.deployment.transfer import CannotTransfer, exported, imported
from workers.deployment.transfer_file import BadExport, ExportHeader, read, written
from workers.redis_failures import failure_of
from workers.run import belong, connect
from workers.settings import from_environ

NOT_CERTAIN = "it is not certain whether the file was imported"
THEN = (
    "and repeat the command. If it then says that this Redis is in use, run `mixtral-bot status`: if it lists the "
    "deployments of the file, the file was imported. Empty no Redis that other processes use"
)


def export(environ: Mapping[str, str], file: Path, out: TextIO, err: TextIO, *, with_keys: bool) -> int:
    """Write the file, and return 0; return 1 with a line on `err` if it was not written. Raises WorkersError."""
    settings = from_environ(environ)
    try:
        redis = connect(settings.redis_url)
        belong(settings, redis)
        return audited("export", redis, lambda: _export(redis, file, out, err, with_keys=with_keys), err)
    except RedisError as error:
        err.write(f"mixtral-bot: {failure_of(error).report(then='and repeat the command with another file')}\n")
        return 1


def _export(redis: Redis, file: Path, out: TextIO, err: TextIO, *, with_keys: bool) -> int:
    note("with keys" if with_keys else "without keys")
    header, parts = exported(redis, with_keys=with_keys)
    try:
        _write(file, written(header, parts))
    except OSError as error:
        err.write(f"mixtral-bot: {file} cannot be written ({error.strerror}). Name another file.\n")
        return 1
    secret = "with their keys: the file is a secret" if with_keys else "without keys"
    out.write(f"{file} contains the installation {header.installation}, {secret}. Running: {_running(redis)}.\n")
    return 0


def _write(file: Path, text: str) -> None:
    """Write a new file that only its owner can read. A file that exists is not replaced."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError:
        file.unlink(missing_ok=True)  # a part of an export is of no use, and may contain keys
        raise


def import_from(environ: Mapping[str, str], file: Path, out: TextIO, err: TextIO) -> int:
    """Read the file into an empty Redis, and return 0; return 1 with a line on `err`. Raises WorkersError."""
    settings = from_environ(environ)
    try:
        header, parts = read(file.read_text("ascii"))
    except UnicodeDecodeError as error:
        raise BadExport("The file is not an export of mixtral-bot: nothing was imported.") from error
    except OSError as error:
        err.write(f"mixtral-bot: {file} cannot be read ({error.strerror}). Nothing was imported.\n")
        return 1
    if settings.installation not in ("", header.installation):
        raise CannotTransfer(
            f"The file is of the installation {header.installation}, but this host belongs to {settings.installation} "
            "(MIXTRAL_INSTALLATION, or the file `installation` in MIXTRAL_HOME): nothing was imported. Set "
            f"MIXTRAL_INSTALLATION={header.installation}."
        )
    is_imported = False
    try:
        redis = connect(settings.redis_url)
        imported(redis, header, parts)
        is_imported = True
        return audited("import", redis, lambda: _said(redis, header, out), err)
    except RedisError as error:
        failure = failure_of(error)
        if is_imported:
            report = f"The file was imported. {failure.report(then='and run `mixtral-bot status`')}"
        elif failure.refused:
            report = failure.report("nothing was imported")
        else:
            report = failure.report(NOT_CERTAIN, THEN)
        err.write(f"mixtral-bot: {report}\n")
        return 1


def _said(redis: Redis, header: ExportHeader, out: TextIO) -> int:
    note(f"export of {header.at.isoformat()}, {'with' if header.has_keys else 'without'} keys")
    out.write(f"This Redis now contains the installation {header.installation}. Running: {_running(redis)}.\n")
    out.write("End every process that uses the earlier Redis; then start the worker, the gateway and the bot.\n")
    return 0


def _running(redis: Redis) -> str:
    names = sorted(Log(redis).names())
    return f"{count(len(names), 'deployment')} ({', '.join(names)})" if names else "nothing"
