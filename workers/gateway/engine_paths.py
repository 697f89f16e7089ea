"""PURE: HAProxy's rule about which paths of the engines are served: their API, and not what controls them."""

from workers.gateway.error_bodies import body, quoted

BELOW = ("/v1/", "/v2/")
"""Beginnings of the paths of the API."""
BESIDE = (
    *("/tokenize", "/detokenize", "/pooling", "/classify", "/score", "/rerank", "/invocations"),  # vLLM
    *("/completion", "/completions", "/chat/completions", "/models", "/embedding", "/embeddings"),  # llama.cpp
    *("/infill", "/apply-template", "/reranking"),
    *("/generate", "/generate_stream", "/encode", "/embed", "/predict"),  # SGLang, Text Generation Inference
    "/inference/v1/generate",
)
"""Paths of the engines' API that have no version."""
CLOSED = ("lora_adapter", "..")
"""Parts of paths below `BELOW` that are closed: they load code and weights, or lead elsewhere."""

NO_API = (
    "This path is not part of the API. The gateway serves the paths below /v1, and /tokenize, /detokenize and others "
    "with which engines answer prompts; not those that report or control the engine, as /metrics and /slots."
)

RULE = """\
  # Engines have further paths, which show the prompts of others (/slots) or control the engine (/sleep).
  acl api path -m beg {below}
  acl api path -m str {beside}
  http-request return status 404 content-type application/json string {no_api} \
if !api || {{ path,url_dec -m sub {closed} }}
"""


def rule() -> str:
    """Rule for the frontend, after the answer 401."""
    return RULE.format(
        below=" ".join(BELOW),
        beside=" ".join(BESIDE),
        closed=" ".join(CLOSED),
        no_api=quoted(body(NO_API, "invalid_request_error", "unknown_path")),
    )
