"""PURE: why a replica is not ready, by its answer to a probe or to the first completion."""

from msgspec import Struct

KEY_REFUSED = frozenset({401, 403})
"""HTTP statuses with which an engine refuses a key."""


class Unready(Struct, frozen=True, kw_only=True):
    """Why a replica is not ready."""

    why: str
    """A clause, with the text of the engine's answer if there is any."""
    silent: bool = False
    """Whether it gave no answer: it may be busy, or dead."""
    key_refused: bool = False
    """Whether it refuses the key that it was asked with; asking again is then of no use."""


def another_key(said: str) -> Unready:
    """The engine refuses the key of the replicas. `said`: the status and the words of its answer."""
    return Unready(
        why="this engine asks for another key than VLLM_API_KEY: start it in `run` with `--api-key $VLLM_API_KEY`, "
        f"in a container with `-e VLLM_API_KEY` ({said})",
        key_refused=True,
    )


def header_refused(said: str) -> Unready:
    """The engine refuses the Authorization header that the recipe gives the probe."""
    return Unready(
        why="this engine refuses the Authorization header of the recipe's readiness probe: check the secret that it "
        f"names in the worker's environment, or remove the header ({said})",
        key_refused=True,
    )
