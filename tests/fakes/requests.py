"""Machine requests for tests of drivers."""

from datetime import UTC, datetime, timedelta

from workers.clouds.driver import Boot, MachineRequest, Token

SECRETS = {"VLLM_API_KEY": "mxk_of_a_test"}
INSTALLATION = "i-test"


def boot(**changes):
    """A scripted engine, which is up in a tenth of a second."""
    plain = {"kind": "scripted", "model": "words", "served_names": ("words", "w"), "args": {}, "port": 8000}
    return Boot(**plain | {"secrets": ("VLLM_API_KEY",)} | changes)


def request(token, offers, **changes):
    """A request for one machine of replica 1, attempt 2, that lives an hour."""
    plain = {
        "token": Token(token),
        "installation": INSTALLATION,
        "deployment": "d-1",
        "replica": 1,
        "attempt": 2,
        "offers": tuple(offers),
        "boot": boot(),
        "expires_at": datetime.now(UTC) + timedelta(hours=1),
    }
    return MachineRequest(**plain | changes)
