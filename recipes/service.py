"""PURE: the `service` section: how replicas are probed, counted and balanced."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from recipes.quantities import filled_in, one_of, port, positive, seconds
from recipes.schema import Note, ReadinessProbe, ReplicaPolicy, Service, Tls
from recipes.unserved import READINESS_PROBE, REPLICA_POLICY, SERVICE, note, notes
from recipes.value import Value, as_json

MAX_REPLICAS = 1000
"""Maximum number of replicas in a recipe. For deployments, `replicas.MAX_REPLICAS` is a lower limit."""
LOAD_BALANCING_POLICIES = ("round_robin", "least_load", "instance_aware_least_load")

SERVED = ("readiness_probe", "replica_policy", "replicas", "port", "ports", "load_balancing_policy", "tls")
PROBE_SERVED = ("path", "post_data", "headers", "timeout_seconds", "initial_delay_seconds")
POLICY_SERVED = (
    "min_replicas", "max_replicas", "target_qps_per_replica", "upscale_delay_seconds", "downscale_delay_seconds",
    "num_overprovision", "dynamic_ondemand_fallback", "dynamic_on_demand_fallback",
    "base_ondemand_fallback_replicas",
)  # fmt: skip

DEFAULT_PATH = "/health"
"""The probe's path for recipes without a readiness_probe. vLLM and llama.cpp answer it without a key."""


class Serving(NamedTuple):
    """The parsed section."""

    service: Service
    notes: list[Note]


def serving(section: Value | None, known: Mapping[str, str], elsewhere: Value | None) -> Serving:
    """Read the section. `elsewhere`: the load_balancing_policy of the resources section, if any."""
    collected: list[Note] = []
    if section is None or section.empty:
        probe = ReadinessProbe(path=DEFAULT_PATH)
        return Serving(Service(readiness_probe=probe, load_balancing_policy=_balancing(elsewhere)), collected)
    section = filled_in(section, known)
    fields = section.mapping()
    collected += notes(section, served=SERVED, unserved=SERVICE)
    if "port" in fields and "ports" in fields:
        raise fields["port"].refused("port and ports are the same; keep one")
    chosen = fields.get("ports") or fields.get("port")
    service = Service(
        readiness_probe=_probe(fields.get("readiness_probe"), collected),
        replica_policy=_policy(fields, collected),
        port=port(chosen) if chosen and not chosen.empty else None,
        load_balancing_policy=_balancing(fields.get("load_balancing_policy") or elsewhere),
        tls=_tls(fields.get("tls")),
    )
    return Serving(service, collected)


def _probe(value: Value | None, collected: list[Note]) -> ReadinessProbe:
    if value is None or value.empty:
        return ReadinessProbe(path=DEFAULT_PATH)
    if isinstance(value.data, str):
        return ReadinessProbe(path=_path(value))
    fields = value.mapping()
    collected += notes(value, served=PROBE_SERVED, unserved=READINESS_PROBE)
    if "path" not in fields:
        raise value.refused("needs a path")
    made: dict[str, Any] = {"path": _path(fields["path"])}
    given = {name: field for name, field in fields.items() if not field.empty}
    if body := given.get("post_data"):
        made["post_data"] = as_json(body)
    if headers := given.get("headers"):
        made["headers"] = {name: header.string() for name, header in headers.mapping().items()}
    if timeout := given.get("timeout_seconds"):
        made["timeout"] = seconds(timeout)
    if delay := given.get("initial_delay_seconds"):
        made["initial_delay"] = seconds(delay)
    return ReadinessProbe(**made)


def _path(value: Value) -> str:
    path = value.string()
    if not path.startswith("/") or not path.isprintable() or " " in path:
        raise value.refused(f"must be a path that starts with a slash, not {value.kind}")
    return path


def _policy(fields: Mapping[str, Value], collected: list[Note]) -> ReplicaPolicy:
    section, replicas = fields.get("replica_policy"), fields.get("replicas")
    if section is not None and replicas is not None:
        raise replicas.refused("replicas and replica_policy exclude each other; keep one")
    if replicas is not None and not replicas.empty:
        return _policy_fields({"min_replicas": replicas}, collected)
    if section is None or section.empty:
        return ReplicaPolicy()
    collected += notes(section, served=POLICY_SERVED, unserved=REPLICA_POLICY)
    return _policy_fields({name: v for name, v in section.mapping().items() if not v.empty}, collected)


def _policy_fields(given: Mapping[str, Value], collected: list[Note]) -> ReplicaPolicy:
    made: dict[str, Any] = {}
    for name in ("min_replicas", "max_replicas", "num_overprovision", "base_ondemand_fallback_replicas"):
        if name in given:
            made[name] = given[name].whole(minimum=0, maximum=MAX_REPLICAS)
    for name in ("upscale_delay", "downscale_delay"):
        if delay := given.get(f"{name}_seconds"):
            made[name] = seconds(delay)
    if fallback := given.get("dynamic_ondemand_fallback") or given.get("dynamic_on_demand_fallback"):
        made["dynamic_ondemand_fallback"] = fallback.boolean()
    if target := given.get("target_qps_per_replica"):
        made["target_qps_per_replica"] = _target(target, collected)
    policy = ReplicaPolicy(**made)
    maximum = policy.max_replicas
    if maximum is not None and maximum < policy.min_replicas:
        raise given["max_replicas"].refused(f"is {maximum}, below min_replicas, {policy.min_replicas}")
    if policy.target_qps_per_replica is None and maximum not in (None, policy.min_replicas):
        meaning = "without target_qps_per_replica the number of replicas does not grow to this maximum"
        collected.append(note(given["max_replicas"], meaning))
    return policy


def _target(value: Value, collected: list[Note]) -> float:
    if isinstance(value.data, dict) and value.data:
        smallest = min(positive(number) for number in value.data.values())
        meaning = f"one rate per accelerator is not supported; the smallest, {smallest:g}, applies to all"
        collected.append(note(value, meaning))
        return smallest
    return positive(value)


def _balancing(value: Value | None) -> str | None:
    return None if value is None or value.empty else one_of(value, LOAD_BALANCING_POLICIES)


def _tls(value: Value | None) -> Tls | None:
    if value is None or value.empty:
        return None
    notes(value, served=("keyfile", "certfile"), unserved={})
    fields = value.mapping()
    for name in ("keyfile", "certfile"):
        if name not in fields:
            raise value.refused(f"needs a {name}")
    return Tls(keyfile=fields["keyfile"].string(), certfile=fields["certfile"].string())
