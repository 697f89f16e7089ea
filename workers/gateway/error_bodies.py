"""PURE: the errors that HAProxy returns, in the form that OpenAI's clients read."""

import json


def body(sentence: str, kind: str, code: str) -> str:
    return json.dumps({"error": {"message": sentence, "type": kind, "param": None, "code": code}})


def quoted(text: str) -> str:
    """The text in HAProxy's strong quotes, in which only the quote has a meaning; no sentence of ours contains one."""
    return f"'{text}'"
