"""PURE: whether a recipe's run script starts its engine with the key that the gateway sends."""

import re

from recipes.schema import Note
from recipes.unserved import note
from recipes.value import Value

KEY = "VLLM_API_KEY"
WORD = r"""(?:"[^"]*"|'[^']*'|[^\s"'|&;<>-][^\s|&;<>]*)"""
FLAG = re.compile(rf"--api-key(?:=|\s+)({WORD}(?:\s+{WORD})*)")
"""An engine's flag with its keys, of which vLLM takes several."""
VARIABLE = re.compile(rf"\b{KEY}=(\S+)")
OURS = re.compile(rf"\$(?:{KEY}\b|\{{{KEY}\b)")
CONTAINER = re.compile(r"\b(?:docker|podman|nerdctl)\s+(?:container\s+)?run\b")

ANOTHER = (
    f"the gateway sends the key in {KEY}, so an engine that asks for another one refuses every request; "
    f"write --api-key ${KEY}"
)
NOT_PASSED_ON = (
    f"docker run does not pass {KEY} on, so the engine in the container answers requests without a key; "
    f"add -e {KEY} to docker run"
)


def key_notes(run: Value | None) -> list[Note]:
    """A note for a script whose engine asks for another key, or whose container gets none."""
    if run is None or run.empty:
        return []
    lines = run.string().replace("\\\n", " ").splitlines()
    script = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    if any(not OURS.search(given) for given in (*FLAG.findall(script), *VARIABLE.findall(script))):
        return [note(run, ANOTHER)]
    passed_on = KEY in script or "--env-file" in script
    return [note(run, NOT_PASSED_ON)] if CONTAINER.search(script) and not passed_on else []
