"""Imports the SDKs of clouds once, in the process whose children make the calls."""

import importlib
import logging
import threading
import time
from collections.abc import Iterable

MODULES = {
    "aws": ("boto3", "botocore.config", "botocore.loaders"),
    "gcp": (
        "google.cloud.compute_v1",
        "google.auth.compute_engine",
        "google.auth.transport.requests",
        "google.oauth2.credentials",
        "netrc",
    ),
}
"""What the drivers import when they make a call. A fork of these modules is safe: none starts a thread or opens a
connection when it is imported. The clients are created after the fork; those of GCP use HTTP, not gRPC."""

REPORTED_AFTER = 2.0
"""Duration of the imports, in seconds, after which the log says what is being waited for."""

logger = logging.getLogger(__name__)


def import_sdks(clouds: Iterable[str]) -> None:
    """Import the SDKs of these clouds, so that children forked later share their memory and import nothing.

    One that cannot be imported is logged: the worker looks after the machines of the other clouds.
    """
    wanted = [cloud for cloud in clouds if cloud in MODULES]
    if not wanted:
        return
    began = time.monotonic()
    names = " and ".join(sorted(wanted))
    slow = threading.Timer(REPORTED_AFTER, logger.info, ("importing the SDKs of %s, once for all jobs", names))
    slow.daemon = True
    slow.start()
    try:
        for cloud in wanted:
            _import(cloud)
    finally:
        slow.cancel()
        slow.join()  # no thread is left when the workers are forked
    logger.debug("the SDKs of %s were imported in %.1f s", names, time.monotonic() - began)


def _import(cloud: str) -> None:
    try:
        for module in MODULES[cloud]:
            importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - versions that do not match raise errors of many kinds
        logger.error("the SDK of %s cannot be imported (%r), so its calls fail. Install the worker again", cloud, error)  # noqa: TRY400 - one line
