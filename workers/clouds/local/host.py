"""PURE: the offers of this host, and the variables that its machines inherit."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from workers.clouds.local.nvidia import Gpu
from workers.placement.offer import Offer

# Other variables may contain the bot's secrets, which recipes' scripts must not read.
HANDED_ON = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
        *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "TRANSFORMERS_OFFLINE"),
    )
)
HANDED_ON_PREFIXES = ("CUDA_", "NVIDIA_", "NCCL_", "OMP_", "PIP_", "VLLM_", "XDG_")


def handed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a machine of this host inherits."""
    return {name: value for name, value in environ.items() if name in HANDED_ON or name.startswith(HANDED_ON_PREFIXES)}


def offers(zone: str, *, vcpus: int, memory_gib: Decimal, gpus: Iterable[Gpu]) -> tuple[Offer, ...]:
    """One offer without GPUs and, for each GPU model, one for each number of GPUs up to the installed number."""
    kinds: dict[str, list[Gpu]] = {}
    for gpu in gpus:
        kinds.setdefault(gpu.name, []).append(gpu)
    shapes = [
        (None, 0, None),
        *((name, n, many[0].memory_gib) for name, many in kinds.items() for n in range(1, len(many) + 1)),
    ]
    return tuple(
        Offer(
            cloud="local",
            region="local",
            zone=zone,
            instance_type=f"{count}x{name}" if name else "cpu",
            accelerator=name,
            count=count,
            spot=False,
            usd_per_hour=Decimal(0),
            vcpus=vcpus,
            memory_gib=memory_gib,
            gpu_memory_gib=gpu_memory,
        )
        for name, count, gpu_memory in shapes
    )
