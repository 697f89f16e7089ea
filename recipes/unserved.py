"""PURE: fields of SkyPilot's format that are not supported, or differ, each with its consequence."""

import difflib
from collections.abc import Iterable, Mapping

from recipes.schema import Note
from recipes.value import Value, shown

NO_FILES = "no files are copied to the machine; setup or run must download what they need"
ONE_LIFE = "a machine runs until the deployment is scaled down or ended, or until the machine's lease expires"
NO_POOL = "pools of workers are not supported; this recipe is launched as a service"
NO_VOLUMES = "no volumes are attached; the machine has only its boot disk"
OWN_SPOT = "spot machines are spread over zones by price, and replaced when they are preempted"
OWN_PACE = "replicas are probed every few seconds and replaced after 180 s of failures"
INTERNAL = "an internal field of SkyPilot; it has no effect here"

TASK: Mapping[str, str] = {
    "workdir": NO_FILES,
    "file_mounts": NO_FILES,
    "file_mounts_mapping": NO_FILES,
    "storage_mounts": NO_FILES,
    "volumes": NO_VOLUMES,
    "volume_mounts": NO_VOLUMES,
    "event_callback": "no script is called on events; the card in the channel shows them",
    "inputs": "estimates of input sizes do not affect the price order",
    "outputs": "estimates of output sizes do not affect the price order",
    "pool": NO_POOL,
    "config": "SkyPilot's settings have no effect here",
    "experimental": "SkyPilot's settings have no effect here",
    "api_server_access": "there is no SkyPilot API server",
    "managed_secrets": "secrets come from the worker's environment only; list their names under secrets",
    "_metadata": INTERNAL,
}

RESOURCES: Mapping[str, str] = {
    "job_recovery": OWN_SPOT,
    "spot_recovery": OWN_SPOT,
    "accelerator_args": "accelerators are used as the cloud provides them, without further arguments",
    "autostop": ONE_LIFE,
    "hooks": "no hooks run when a machine ends",
    "priority": "all launches have the same priority",
    "priority_class": "all launches have the same priority",
    "volumes": NO_VOLUMES,
    "local_disk": "local disks are those of the machine type",
    "ephemeral_storage": "an older name; use disk_size",
    "_docker_login_config": INTERNAL,
    "_is_image_managed": INTERNAL,
    "_requires_fuse": INTERNAL,
    "_cluster_config_overrides": INTERNAL,
    "_no_missing_accel_warnings": INTERNAL,
}

SERVICE: Mapping[str, str] = {
    "load_balancer": "the gateway has its own time limits",
    "pool": NO_POOL,
    "workers": NO_POOL,
    "auto_restart": "a failed replica is always replaced",
    "spot_policy": OWN_SPOT,
    "controller": "there is no controller machine",
}

READINESS_PROBE: Mapping[str, str] = {
    "endpoint_probe_interval_seconds": OWN_PACE,
    "consecutive_failure_threshold_timeout": OWN_PACE,
}

REPLICA_POLICY: Mapping[str, str] = {
    "spot_placer": OWN_SPOT,
    "spot_mixer": OWN_SPOT,
    "spot_zones": OWN_SPOT,
    "auto_restart": "a failed replica is always replaced",
    "qps_upper_threshold": "an older name; use target_qps_per_replica",
    "qps_lower_threshold": "an older name; use target_qps_per_replica",
}

# Validated and stored, but without the effect that they have in SkyPilot.
OTHERWISE: Mapping[str, str] = {
    "load_balancing_policy": "each request goes to the replica with the fewest connections, whatever the policy",
    "tls": "the gateway has one certificate for all deployments, set by MIXTRAL_TLS_CERT and MIXTRAL_TLS_KEY",
}


def notes(section: Value, *, served: Iterable[str], unserved: Mapping[str, str]) -> list[Note]:
    """One note per field that is not supported, or differs. Raises RecipeError for an unknown field."""
    served = frozenset(served)
    meanings = {**{name: OTHERWISE[name] for name in served & OTHERWISE.keys()}, **unserved}
    found = []
    for name, value in section.mapping().items():
        if name not in served and name not in unserved:
            raise value.refused(_unknown(name, sorted(served | unserved.keys())))
        if name in unserved or (name in meanings and not value.empty):
            found.append(note(value, meanings[name]))
    return found


def note(value: Value, meaning: str) -> Note:
    return Note(field=value.field, line=value.line, meaning=meaning)


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    visible = [field for field in known if not field.startswith("_")]
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(visible)}"
    return f"unknown field {shown(name)}; {hint}"
