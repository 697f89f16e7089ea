"""Calls to AWS: one client for each service and region, created at first use; and the list of regions."""

import difflib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

from workers.clouds.aws.errors import OUTDATED, AwsError, translated
from workers.clouds.driver import DriverError
from workers.placement.refusals import LACKS_PERMISSION
from workers.settings_table import DEFAULTS

HOME_REGION = DEFAULTS["AWS_DEFAULT_REGION"]
MAX_THREADS = 16  # for calls in several regions
PAGE = 200  # items of a page
ENABLED_ALWAYS = frozenset((
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1",
    "eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1",
    "ap-south-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-southeast-1", "ap-southeast-2",
))  # fmt: skip
"""Regions that an account cannot disable. Source: AWS, Regions and Availability Zones."""
REGIONS_CACHED_FOR = timedelta(hours=1)

T = TypeVar("T")

logger = logging.getLogger(__name__)


class RegionError(DriverError):
    """The region does not exist, or the account has not enabled it."""


class AwsClient:
    """One account's AWS. Safe to use from several threads and after a fork."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._session: Any = None
        self._clients: dict[tuple[str, str, bool], Any] = {}
        self._lock = threading.Lock()
        self._regions_lock = threading.Lock()
        self._made_in = os.getpid()
        self._regions: tuple[float, frozenset[str]] = (float("-inf"), frozenset())

    @property
    def home(self) -> str:
        """The region for calls whose answer is the same in all regions."""
        return self._environ.get("AWS_REGION") or self._environ.get("AWS_DEFAULT_REGION") or HOME_REGION

    def call(self, service: str, region: str, action: str, **fields: Any) -> Any:
        """Make a call; boto tries it up to three times. Raises AwsError, DriverError."""
        return self._renewing(region, lambda: getattr(self._client(service, region), action)(**fields))

    def launch(self, region: str, action: str, **fields: Any) -> Any:
        """Make a call once: boto would repeat it after a refusal for lack of capacity. Raises AwsError, DriverError."""
        return self._renewing(region, lambda: getattr(self._client("ec2", region, launches=True), action)(**fields))

    def pages(self, region: str, action: str, key: str, **fields: Any) -> list[Any]:
        """All items of `key` from all pages of a list call to EC2. Raises AwsError, DriverError."""
        return list(self.items(region, action, key, **fields))

    def items(self, region: str, action: str, key: str, **fields: Any) -> Iterator[Any]:
        """The items of `pages`, one page at a time: an error comes after the items of the earlier pages."""

        def first() -> tuple[Any, Iterator[Any]]:
            paginator = self._client("ec2", region).get_paginator(action)
            pages = iter(paginator.paginate(**fields, PaginationConfig={"PageSize": PAGE}))
            return next(pages, None), pages

        page, rest = self._renewing(region, first)
        while page is not None:
            yield from page[key]
            with translated(region):
                page = next(rest, None)

    def everywhere(self, regions: Iterable[str], do: Callable[[str], T]) -> dict[str, T]:
        """Call `do` for each region, MAX_THREADS at a time. Raises the first error in the order of the names."""
        ordered = sorted(set(regions))
        if not ordered:
            return {}
        with ThreadPoolExecutor(min(MAX_THREADS, len(ordered)), thread_name_prefix="aws") as threads:
            return dict(zip(ordered, threads.map(do, ordered), strict=True))

    def regions(self) -> frozenset[str]:
        """Names of the regions that the account has enabled. Raises AwsError, DriverError."""
        with self._regions_lock:  # threads that need them at once make one call
            at, known = self._regions
            if time.monotonic() - at < REGIONS_CACHED_FOR.total_seconds():
                return known
            found = self.call("ec2", self._known_home(), "describe_regions")["Regions"]
            known = frozenset(region["RegionName"] for region in found)
            self._regions = (time.monotonic(), known)
            return known

    def check_region(self, region: str) -> None:
        """Raises RegionError if the region cannot be used, AwsError, DriverError."""
        try:
            enabled = self.regions()
        except AwsError as error:
            if error.code not in LACKS_PERMISSION or region not in self.all_regions():
                raise
            return  # a policy may deny the home region alone
        if region in enabled:
            return
        mend = "Correct the region in the recipe or the price table"
        if region in self.all_regions():
            raise RegionError(
                f"The AWS account has not enabled the region {region}. Enable it under Account, AWS Regions, "
                "in the AWS console, or leave it out of the recipe"
            )
        close = difflib.get_close_matches(region, enabled, n=1)
        raise RegionError(f"AWS has no region {region}. {mend}{f': did you mean {close[0]}?' if close else ''}")

    def _known_home(self) -> str:
        """The home region, checked: for a region that does not exist, DNS lookups would take half a minute."""
        if self.home not in self.all_regions():
            close = difflib.get_close_matches(self.home, self.all_regions(), n=1)
            hint = f", for example to {close[0]}" if close else ""
            raise RegionError(f"AWS has no region {self.home}. Correct AWS_REGION or AWS_DEFAULT_REGION{hint}")
        return self.home

    def all_regions(self) -> frozenset[str]:
        """Names of all regions in boto's data, without a call."""
        with translated(self.home), self._lock:
            session = self._made_session()
            partitions = session.get_available_partitions()
            return frozenset(r for p in partitions for r in session.get_available_regions("ec2", partition_name=p))

    def _renewing(self, region: str, do: Callable[[], T]) -> T:
        """Call `do`; repeat it if AWS refused the credentials and newer ones exist. Raises AwsError, DriverError."""
        with translated(region), self._lock:
            self._after_fork()
            session = self._made_session()
        try:
            with translated(region):
                return do()
        except AwsError as error:
            if error.code not in OUTDATED or not self._renewed(session):
                raise
        with translated(region):
            return do()

    def _renewed(self, outdated: Any) -> bool:
        """Read the credentials again. Returns whether they differ from those of the session `outdated`."""
        with self._lock:
            if self._session is not outdated:
                return True  # another thread has read them
            session = self._new_session()
            try:
                if (found := _credentials(session)) is None or found == _credentials(outdated):
                    return False
            except Exception as error:  # noqa: BLE001 - credential processes, files and metadata servers raise many types
                logger.warning("AWS's credentials cannot be read again: %s", error)
                return False
            logger.info("AWS's credentials have changed; the new ones are used")
            self._session = session
            self._clients.clear()
            return True

    def _client(self, service: str, region: str, *, launches: bool = False) -> Any:
        from botocore.config import Config  # noqa: PLC0415 - 0.1 s, too slow for every command

        with self._lock:  # creating clients is not thread-safe
            self._after_fork()
            key = (service, region, launches)
            if key not in self._clients:
                retries = {"total_max_attempts": 1} if launches else {"total_max_attempts": 3, "mode": "standard"}
                config = Config(
                    retries=retries,
                    connect_timeout=5,
                    read_timeout=60 if launches else 15,
                    max_pool_connections=MAX_THREADS,
                    # A stand-in on loopback is not reached through a proxy.
                    proxies={} if "//127.0.0.1" in (self._environ.get("AWS_ENDPOINT_URL") or "") else None,
                )
                self._clients[key] = self._made_session().client(
                    service,
                    region_name=region,
                    endpoint_url=self._environ.get("AWS_ENDPOINT_URL") or None,
                    config=config,
                )
            return self._clients[key]

    def _after_fork(self) -> None:
        """Drop clients that a parent process created. The caller holds the lock."""
        if self._made_in != os.getpid():
            self._made_in = os.getpid()
            self._session = None
            self._clients.clear()

    def _made_session(self) -> Any:
        """The session, created at first use. The caller holds the lock."""
        if self._session is None:
            self._session = self._new_session()
        return self._session

    def _new_session(self) -> Any:
        import boto3  # noqa: PLC0415 - 0.3 s, too slow for every command
        import botocore.session  # noqa: PLC0415 - as above

        given = self._environ.get
        keys = {
            "aws_access_key_id": given("AWS_ACCESS_KEY_ID"),
            "aws_secret_access_key": given("AWS_SECRET_ACCESS_KEY"),
            "aws_session_token": given("AWS_SESSION_TOKEN"),
        }
        core = botocore.session.get_session()
        core.register_component("data_loader", _loader())
        given_keys = keys if all(list(keys.values())[:2]) else {}
        return boto3.Session(**given_keys, botocore_session=core)


def _credentials(session: Any) -> Any:
    """The current keys of a session; None if it has none."""
    found = session and session.get_credentials()
    return found and found.get_frozen_credentials()


@cache
def _loader() -> Any:
    """A cache of boto's data, shared by all sessions: reading that of EC2 takes 0.1 s."""
    from botocore.loaders import create_loader  # noqa: PLC0415 - 0.1 s, too slow for every command

    return create_loader()
