"""PURE: whether a machine image's NVIDIA driver is new enough for the pinned vLLM, by the cloud's description."""

import re
from functools import partial

from workers.clouds.findings import Finding
from workers.serving.vllm_release import GPU, MIN_DRIVER

IN_A_FAMILY = re.compile(r"\bnvidia-(\d{3})\b")
"""Google's families name the driver: `common-cu129-ubuntu-2204-nvidia-580`."""

IN_A_DESCRIPTION = re.compile(r"[Nn][Vv][Ii][Dd][Ii][Aa] [Dd]river:? (?:version )?[Rr]?(\d{3})\b")


def driver_of(text: str) -> int | None:
    """The major version of the NVIDIA driver that a name, family or description states; None if it states none."""
    found = IN_A_FAMILY.search(text) or IN_A_DESCRIPTION.search(text)
    return int(found[1]) if found else None


def on_driver(about: str, image: str, driver: int | None, mend: str) -> Finding:
    """Whether the driver of `image` serves vLLM. `driver`: its major version, None if the cloud does not state it."""
    finding = partial(Finding, about=about, what="driver")
    if driver is None:
        says = f"the cloud does not state the driver of {image}; the machine checks it before it downloads anything"
        return finding(works=None, says=says)
    if driver < MIN_DRIVER:
        says = f"{image} has NVIDIA driver {driver}, and vLLM {GPU.version} needs {MIN_DRIVER} or newer"
        return finding(works=False, says=says, mend=mend)
    return finding(works=True, says=f"NVIDIA driver {driver}; vLLM {GPU.version} needs {MIN_DRIVER} or newer")
