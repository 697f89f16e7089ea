"""PURE: masking of secrets in text from engines and clouds: logs, progress, error messages."""

import re
from collections.abc import Iterable

MASK = "•••"
SHORTEST = 6
"""Minimum length of a masked value, in characters; a shorter one may occur by chance."""

# Formats of keys whose values are not known here.
SHAPES = re.compile(
    r"mxk_[A-Za-z0-9]{16,}"  # endpoints
    r"|hf_[A-Za-z0-9]{16,}"  # Hugging Face
    r"|xox[a-z]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}"  # Slack
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}"  # AWS
    r"|ya29\.[A-Za-z0-9_-]{16,}"  # Google
    r"|gh[pousr]_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}"
    r"|(?i:(?<=bearer )[A-Za-z0-9._~+/=-]{8,})"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"  # JSON web tokens
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]|-(?!----END))*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
    r"|(?i:x-amz-(?:signature|credential|security-token)=[^&\s\"']+)"  # presigned addresses
    r"|(?i:secret_?access_?key[\"']?\s?[:=]\s?[\"']?[A-Za-z0-9/+=]{16,})"
    r"|(?<=://)[^/\s:@\"']*:[^/\s@\"']+(?=@)"  # a password in an address
)


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` with MASK in place of these secrets and of all values in the format of a key."""
    for secret in sorted((s for s in secrets if len(s) >= SHORTEST), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return SHAPES.sub(MASK, text)
