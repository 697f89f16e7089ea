"""Which addresses are Slack's, or those of the Web API that is configured in its place."""

import httpx

_SLACKS = (".slack.com", ".slack-gov.com")
_HOOKS = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})


def is_slacks(url: httpx.URL, api: httpx.URL) -> bool:
    """Whether the bot's token may be sent to this address. `api`: address of the Web API."""
    return not url.userinfo and (_is_api(url, api) or (_is_https(url) and url.host.endswith(_SLACKS)))


def response_url(given: object, api_url: str) -> str | None:
    """The address for answers in a payload, if it is Slack's: the bot sends messages to no other one."""
    if not isinstance(given, str) or not given:
        return None
    try:
        url, api = httpx.URL(given), httpx.URL(api_url)
    except (httpx.InvalidURL, ValueError):
        return None
    return given if not url.userinfo and (_is_api(url, api) or (_is_https(url) and url.host in _HOOKS)) else None


def _is_api(url: httpx.URL, api: httpx.URL) -> bool:
    return (url.scheme, url.host, url.port) == (api.scheme, api.host, api.port)


def _is_https(url: httpx.URL) -> bool:
    return url.scheme == "https" and url.port is None
