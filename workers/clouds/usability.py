"""Whether each cloud can be used, according to this machine's files and environment."""

import sys
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path

from workers.placement.offer import CloudStatus

NAMES = {"aws": "AWS", "gcp": "GCP", "local": "local"}

AWS_MEND = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`"
GCP_MEND = (
    "run `gcloud auth application-default login`, or name a service account's file in GOOGLE_APPLICATION_CREDENTIALS"
)
PROJECT_MEND = "set GOOGLE_CLOUD_PROJECT to your project's id"

ROLES = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE")
KEYS = (
    "aws_access_key_id",
    "credential_process",
    "role_arn",
    "sso_session",
    "sso_start_url",
    "web_identity_token_file",
)


def statuses(environ: Mapping[str, str], *, drivers: AbstractSet[str]) -> dict[str, CloudStatus]:
    """The status of each known cloud, without network access. `drivers`: the clouds that have a driver."""
    chosen = {word.strip().lower() for word in environ.get("MIXTRAL_CLOUDS", "").split(",") if word.strip()}
    return {cloud: _status(cloud, environ, drivers, chosen) for cloud in NAMES}


def _status(cloud: str, environ: Mapping[str, str], drivers: AbstractSet[str], chosen: AbstractSet[str]) -> CloudStatus:
    if chosen and cloud not in chosen:
        mend = f"add {cloud} to MIXTRAL_CLOUDS, or unset it"
        return _unusable(cloud, "MIXTRAL_CLOUDS does not include it", mend)
    lacking = {"aws": _aws_lacks, "gcp": _gcp_lacks, "local": _local_lacks}[cloud](environ)
    if lacking is not None:
        return _unusable(cloud, *lacking)
    if cloud not in drivers:
        mend = "launch on another cloud"
        return CloudStatus(
            cloud=cloud, usable=False, reason=f"this version has no driver for {NAMES[cloud]} yet", mend=mend
        )
    return CloudStatus(cloud=cloud, usable=True)


def _unusable(cloud: str, reason: str, mend: str) -> CloudStatus:
    return CloudStatus(cloud=cloud, usable=False, reason=f"{NAMES[cloud]}: {reason}", mend=mend)


def _aws_lacks(environ: Mapping[str, str]) -> tuple[str, str] | None:
    if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
        return None
    if any(environ.get(name) for name in ROLES):
        return None
    home = _home(environ)
    files = (
        Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials"),
        Path(environ.get("AWS_CONFIG_FILE") or home / ".aws" / "config"),
    )
    if any(_holds_keys(file.expanduser()) for file in files):
        return None
    if environ.get("AWS_ACCESS_KEY_ID"):
        return "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not", AWS_MEND
    return "no credentials found", AWS_MEND


def _holds_keys(file: Path) -> bool:
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(file, encoding="utf-8")
    except (ConfigError, OSError, UnicodeDecodeError):
        return False
    return any(key in parser[section] for section in parser.sections() for key in KEYS)


def _gcp_lacks(environ: Mapping[str, str]) -> tuple[str, str] | None:
    named = environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    folder = environ.get("CLOUDSDK_CONFIG") or _home(environ) / ".config" / "gcloud"
    file = Path(named or Path(folder) / "application_default_credentials.json").expanduser()
    anonymous = environ.get("MIXTRAL_GCE_ENDPOINT", "").startswith("http://")  # a stand-in needs no credentials
    if not anonymous and not file.is_file():
        missing = f"GOOGLE_APPLICATION_CREDENTIALS names {file}, which does not exist" if named else None
        return missing or "no credentials found", GCP_MEND
    if not (environ.get("GOOGLE_CLOUD_PROJECT") or environ.get("GCLOUD_PROJECT")):
        return "no project is set", PROJECT_MEND
    return None


def _local_lacks(_environ: Mapping[str, str]) -> tuple[str, str] | None:
    if not sys.platform.startswith("linux"):
        return f"replicas as processes need Linux, not {sys.platform}", "use a cloud, or run the worker on Linux"
    return None


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or Path.home())
