"""Ends the GCE stand-in's instances that are preempted, that expire, or whose machine has ended."""

import threading
import time
from datetime import datetime

from workers.sandbox.gce.cloud import Cloud, id_of, is_spot, metadata
from workers.sandbox.gce.faults import ApiError
from workers.sandbox.gce.operations import Json

TICK = 0.1  # seconds


class Ageing:
    """Checks every running instance, once per tick."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._fates: dict[str, tuple[float, str]] = {}  # instance id to its end in monotonic seconds, and the reason

    def run(self, stop: threading.Event) -> None:
        """Check until `stop` is set."""
        while not stop.wait(TICK):
            with self._cloud.changed:
                running = [(key, i) for key, i in self._cloud.instances.items() if i["status"] == "RUNNING"]
            for (zone, name), instance in running:
                try:
                    self._age(zone, name, instance)
                except ApiError:
                    continue  # deleted meanwhile

    def _age(self, zone: str, name: str, instance: Json) -> None:
        project = instance["selfLink"].partition("/projects/")[2].partition("/")[0]
        at, fate = self._fate(zone, instance)
        life = float(instance.get("scheduling", {}).get("maxRunDuration", {}).get("seconds", "inf"))
        age = (self._cloud.clock() - datetime.fromisoformat(instance["creationTimestamp"])).total_seconds()
        expiry = metadata(instance).get("mixtral-expiry", "")
        if time.monotonic() > at:
            self._cloud.remove(project, zone, name, "compute.instances.preempted" if fate == "preempted" else "delete")
        elif age > life:
            self._cloud.remove(project, zone, name)
        elif expiry and self._cloud.clock().timestamp() > float(expiry):
            self._stop(instance)  # in place of the deadman, which sandbox machines do not run
        elif not self._cloud.machines.alive(id_of(instance)):
            self._stop(instance)

    def _fate(self, zone: str, instance: Json) -> tuple[float, str]:
        """When and how a fault ends the instance; decided when it is first seen running."""
        if instance["id"] not in self._fates:
            type_ = instance["machineType"].rsplit("/", 1)[-1]
            about = {"machine_type": type_, "zone": zone, "lifecycle": "spot" if is_spot(instance) else "on demand"}
            with self._cloud.changed:
                fault = self._cloud.faults.take(("preempted", "deleted"), "instances.insert", **about)
            fate = (time.monotonic() + fault.seconds, fault.code) if fault else (float("inf"), "")
            self._fates[instance["id"]] = fate
        return self._fates[instance["id"]]

    def _stop(self, instance: Json) -> None:
        self._cloud.machines.kill(id_of(instance))
        with self._cloud.changed:
            if instance["status"] == "RUNNING":
                instance.update(status="TERMINATED", lastStopTimestamp=self._cloud.now())
