"""The EC2 stand-in's state in addition to moto's: faults, quotas, client tokens, a list of calls, and machines."""

import os
import threading
import time
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends

from workers.clouds.aws.quota import code_of
from workers.sandbox.ec2.catalog import Catalog, vcpus, zones
from workers.sandbox.ec2.faults import OF_AN_OFFER, UNSEEN, Faults
from workers.sandbox.ec2.lives import Lives, Pool
from workers.sandbox.stand_in import Clock, Machines, utc_now

# Creating moto's images in each region takes as long as ten calls, and a launch finds its image in SSM.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"

DEFAULT_QUOTA = 10_000.0
"""vCPUs, for quotas that were not set."""


class Cloud:
    """One account. The caller of a method holds `lock`, unless its docstring excludes that."""

    def __init__(self, machines: Machines, catalog: Catalog, account: str, clock: Clock = utc_now) -> None:
        self.catalog = catalog
        self.account = account
        self.lock = threading.RLock()
        self.faults = Faults()
        self.calls: list[dict[str, str]] = []
        self.images: set[str] = set()
        """Ids of the images that SSM has returned."""
        self._quotas: list[tuple[str, str, float]] = []
        self._made_at: dict[str, float] = {}
        self._answers: dict[tuple[str, str, str], tuple[str, Any]] = {}
        self.lives = Lives(machines, account, self.faults, self.lock, clock)

    def is_used(self, region: str) -> bool:
        """Whether moto has created the region. Creating it is slow, and an empty list does not need it."""
        return region in ec2_backends[self.account].keys()  # noqa: SIM118 - moto's `in` is true for every region

    def set_quota(self, code: str, limit: float, region: str = "*") -> None:
        self._quotas.append((code, region, limit))

    def quota(self, code: str, region: str) -> float:
        limits = [limit for of, where, limit in self._quotas if of == code and fnmatchcase(region, where)]
        return limits[-1] if limits else DEFAULT_QUOTA

    def once(self, action: str, region: str, token: str | None, parameters: object, do: Callable[[], Any]) -> Any:
        """Do a launch once per token; a different request with the token raises IdempotentParameterMismatch."""
        if not token:
            return do()
        if len(token) > 64 or not token.isascii():  # noqa: PLR2004 - EC2's own limit
            raise EC2ClientError(
                "InvalidParameterValue", f"The client token {token} is longer than 64 ASCII characters."
            )
        request = repr(parameters)
        before, answer = self._answers.get((action, region, token), (request, None))
        if before != request:
            text = f"The client token {token} was used before with other parameters."
            raise EC2ClientError("IdempotentParameterMismatch", text)
        if answer is None:
            answer = do()
            self._answers[action, region, token] = (request, answer)
        return answer

    def answered(self, action: str, region: str, token: str | None) -> bool:
        """Whether a launch with this token was done before."""
        return bool(token) and (action, region, token) in self._answers

    def made(self, id_: str) -> None:
        """Record the age of a security group, an instance or, by its name, of a launch template."""
        self._made_at[id_] = time.monotonic()

    def is_older(self, id_: str, seconds: float) -> bool:
        return time.monotonic() - self._made_at.get(id_, float("-inf")) >= seconds

    def unseen(self, region: str, groups: Iterable[str], template: str) -> tuple[str, str] | None:
        """EC2's error code and message if a fleet does not find one of these resources yet, else None."""
        fault = self.faults.silent("unseen", "CreateFleet", region=region)
        for id_ in (*groups, template) if fault else ():
            if fault and not self.is_older(id_, fault.seconds):
                code, words = UNSEEN["lt" if id_ == template else "sg"]
                return code, words.replace("{id}", id_)
        return None

    def refusal(self, action: str, pool: Pool) -> tuple[str, str] | None:
        """EC2's error code and message if the pool has no machine to launch, else None."""
        if fault := self.faults.of_an_offer(action, **pool.about):
            words = fault.message or OF_AN_OFFER.get(fault.code, (400, fault.code))[1]
            return fault.code, self._filled(words, fault.code, pool)
        if not self.catalog.sells(pool.type_, pool.region, pool.zone):
            return "Unsupported", self._filled(OF_AN_OFFER["Unsupported"][1], "Unsupported", pool)
        quota = code_of(pool.type_, spot=pool.spot)
        if quota and self._used(quota, pool.region) + vcpus(pool.type_) > self.quota(quota, pool.region):
            code = "MaxSpotInstanceCountExceeded" if pool.spot else "VcpuLimitExceeded"
            return code, self._filled(OF_AN_OFFER[code][1], code, pool)
        return None

    def _filled(self, words: str, code: str, pool: Pool) -> str:
        quota = self.quota(code_of(pool.type_, spot=pool.spot) or "", pool.region)
        return (
            words.replace("{type}", pool.type_)
            .replace("{name}", pool.name)
            .replace("{limit}", f"{quota:g}")
            .replace("{hint}", self._hint(code, pool))
        )

    def _hint(self, code: str, pool: Pool) -> str:
        elsewhere = [
            name
            for name, zone in zones(pool.region).items()
            if self.catalog.sells(pool.type_, pool.region, zone)
            and not self.faults.standing(code, **{**pool.about, "zone": zone})
        ]
        if not elsewhere:
            return ""
        return (
            f" You can currently get {pool.type_} capacity by not specifying an Availability Zone in your request or "
            f"choosing {', '.join(elsewhere)}."
        )

    def _used(self, quota: str, region: str) -> int:
        pools = self.lives.pools(region)
        return sum(vcpus(pool.type_) for pool in pools if code_of(pool.type_, spot=pool.spot) == quota)
