"""PURE: the `resources` section: the kinds of machine that a recipe accepts, each as a complete alternative."""

import difflib
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from msgspec.structs import replace

from recipes.accelerators import listed
from recipes.quantities import VARIABLE, amount, filled, one_of, ports, positive, size_gib
from recipes.schema import Note, Resources
from recipes.unserved import RESOURCES, note, notes
from recipes.value import Value, shown

CLOUDS = (
    "aws", "azure", "cudo", "do", "fluidstack", "gcp", "hyperbolic", "ibm", "kubernetes", "lambda", "local",
    "mithril", "nebius", "oci", "paperspace", "primeintellect", "runpod", "scp", "seeweb", "shadeform", "slurm",
    "ssh", "vast", "verda", "vsphere", "yotta",
)  # fmt: skip

DISK_TIERS = ("low", "medium", "high", "ultra", "best")
NETWORK_TIERS = ("standard", "best")

PLACE = ("infra", "cloud", "region", "zone")
SERVED = (
    *PLACE, "accelerators", "gpus", "cpus", "memory", "instance_type", "disk_size", "disk_tier", "network_tier",
    "image_id", "use_spot", "max_hourly_cost", "ports", "labels", "load_balancing_policy",
)  # fmt: skip

AWS_ZONE_NAME = re.compile(r"([a-z]{2}(-[a-z]+)+-\d)[a-z]")

MAX_ALTERNATIVES = 256


class Alternatives(NamedTuple):
    """The parsed section."""

    alternatives: tuple[Resources, ...]
    ordered: bool
    notes: list[Note]


def machines(section: Value, known: Mapping[str, str], environ: Mapping[str, str]) -> Alternatives:
    """Read the section. `known`: the recipe's own variables. Only cloud, region and zone may use `environ`, too."""
    fields = section.mapping()
    reader = _Reader(known, {**environ, **known})
    collected = notes(section, served=(*SERVED, "any_of", "ordered"), unserved=RESOURCES)
    if "any_of" in fields and "ordered" in fields:
        raise fields["ordered"].refused("any_of and ordered exclude each other; keep one")
    outer, outer_ordered = reader.expand(Resources(), section)
    collected += reader.notes
    which = fields.get("any_of") or fields.get("ordered")
    if which is None or which.empty:
        return Alternatives(tuple(outer), outer_ordered, collected)
    found: dict[str, Resources] = {}
    bare = replace(outer[0], accelerators=()) if len(outer) > 1 or outer_ordered else outer[0]
    for entry in which.items():
        collected += notes(entry, served=SERVED, unserved=RESOURCES)
        reader.notes = []
        own_accelerators = {"accelerators", "gpus"} & entry.mapping().keys()
        for base in [bare] if own_accelerators else outer:
            for made in reader.expand(base, entry)[0]:
                found[repr(made)] = made
        collected += reader.notes
    if len(found) > MAX_ALTERNATIVES:
        raise which.refused(f"has {len(found)} alternatives; the maximum is {MAX_ALTERNATIVES}")
    return Alternatives(tuple(found.values()) or tuple(outer), "ordered" in fields or outer_ordered, collected)


class _Reader:
    """Reads the fields of one alternative. They override those of the section that contains it."""

    def __init__(self, known: Mapping[str, str], places: Mapping[str, str]) -> None:
        self._known = known
        self._places = places
        self.notes: list[Note] = []

    def expand(self, base: Resources, section: Value) -> tuple[list[Resources], bool]:
        """One alternative, or one per accelerator of an ordered list; and whether they are ordered."""
        fields = section.mapping()
        if "gpus" in fields and "accelerators" in fields:
            raise fields["gpus"].refused("gpus and accelerators are the same; keep one")
        changed: dict[str, Any] = self._place(base, fields)
        for name, value in fields.items():
            if name not in PLACE and name in SERVED:
                changed |= self._field(name, value, base)
        made = replace(base, **changed)
        accelerators = fields.get("accelerators") or fields.get("gpus")
        if accelerators is None:
            return [made], False
        alternatives, notes_, ordered = listed(accelerators)
        self.notes += notes_
        if ordered:
            return [replace(made, accelerators=(one,)) for one in alternatives], True
        return [replace(made, accelerators=alternatives)], False

    def _field(self, name: str, value: Value, base: Resources) -> dict[str, Any]:
        if value.empty:
            return {}
        match name:
            case "cpus":
                return {"cpus": amount(value)[0]}
            case "memory":
                memory, per_cpu = amount(value, memory=True)
                return {"memory": memory, "memory_per_cpu": per_cpu}
            case "disk_size":
                return {"disk_size_gib": size_gib(value)}
            case "disk_tier":
                return {"disk_tier": one_of(value, DISK_TIERS)}
            case "network_tier":
                return {"network_tier": one_of(value, NETWORK_TIERS)}
            case "image_id":
                return self._image(value)
            case "instance_type":
                return {"instance_type": filled(value.string(), self._known)}
            case "use_spot":
                return {"use_spot": value.boolean()}
            case "max_hourly_cost":
                return {"max_hourly_cost": Decimal(str(positive(value, " USD per hour")))}
            case "ports":
                return {"ports": ports(value)}
            case "labels":
                own = {key: label.string() for key, label in value.mapping().items()}
                return {"labels": {**base.labels, **own}}
            case _:
                return {}

    def _image(self, value: Value) -> dict[str, Any]:
        if isinstance(value.data, dict):
            meaning = "one image per region is not supported; the cloud's default image is used"
            self.notes.append(note(value, meaning))
            return {}
        return {"image_id": filled(value.string(), self._known)}

    def _place(self, base: Resources, fields: Mapping[str, Value]) -> dict[str, str | None]:
        """Cloud, region and zone. A field that is given resets the narrower ones of the outer section."""
        given = {name: fields[name] for name in PLACE if name in fields and not fields[name].empty}
        infra = given.pop("infra", None)
        if infra is not None:
            if given:
                other = next(iter(given.values()))
                raise other.refused("infra already gives the place; keep one of the two")
            return self._infra(infra)
        place: dict[str, str | None] = {"cloud": base.cloud, "region": base.region, "zone": base.zone}
        for at, name in enumerate(PLACE[1:]):
            if name not in given:
                continue
            text = self._text(given[name])
            place[name] = (_cloud(given[name], text) if name == "cloud" else text) or None
            for narrower in PLACE[at + 2 :]:
                place[narrower] = None
        if zone := given.get("zone"):
            self._by_zone_id(zone, place)
        return place

    def _infra(self, infra: Value) -> dict[str, str | None]:
        parts = self._text(infra).strip().split("/")
        cloud = _cloud(infra, parts[0])
        if cloud in ("kubernetes", "ssh", "slurm"):
            return {"cloud": cloud, "region": "/".join(parts[1:]) or None, "zone": None}
        if len(parts) > len(PLACE) - 1:
            raise infra.refused(f"must be cloud/region/zone, not {shown(infra.text)}")
        region, zone = (*(None if part in ("*", "") else part for part in parts[1:]), None, None)[:2]
        place = {"cloud": cloud, "region": region, "zone": zone}
        if zone:
            self._by_zone_id(infra, place)
        return place

    def _text(self, value: Value) -> str:
        """The field's text. A variable that is not set becomes empty, which means any."""
        return VARIABLE.sub(lambda found: self._places.get(found[1] or found[2], ""), value.string())

    def _by_zone_id(self, value: Value, place: dict[str, str | None]) -> None:
        zone = AWS_ZONE_NAME.fullmatch(place["zone"] or "")
        if zone and place["cloud"] in (None, "aws"):
            meaning = (
                f"the AWS zone name {place['zone']} means another zone in each account, and prices are listed by zone "
                f"id; all zones of {zone[1]} are considered"
            )
            self.notes.append(note(value, meaning))
            place["region"], place["zone"] = place["region"] or zone[1], None


def _cloud(value: Value, text: str) -> str | None:
    name = text.strip().lower()
    if name in ("", "*"):
        return None
    if name == "k8s":
        return "kubernetes"
    if name not in CLOUDS:
        if VARIABLE.search(value.text):  # the sentence is public; values of the environment are not
            raise value.refused(f"the value of {shown(value.text)} is not a known cloud; set it to aws or gcp")
        near = difflib.get_close_matches(name, CLOUDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(CLOUDS)}"
        raise value.refused(f"unknown cloud {shown(text)}; {hint}")
    return name
