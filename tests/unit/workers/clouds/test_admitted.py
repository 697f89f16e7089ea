import pytest

from workers.clouds.admitted import admitted
from workers.clouds.cidrs import CidrsError


def resolve(host):
    found = {"models.example.com": ["203.0.114.7"], "localhost": ["127.0.0.1"], "lan": ["10.0.0.4"]}
    if host not in found:
        raise OSError("no such host")
    return found[host]


def test_who_is_named_is_admitted_and_nobody_else():
    environ = {"MIXTRAL_ALLOW_CIDRS": "198.51.100.0/24", "MIXTRAL_GATEWAY_URL": "https://models.example.com"}
    assert admitted(environ, resolve) == ("198.51.100.0/24",)


def test_without_names_the_gateway_alone_is_admitted():
    assert admitted({"MIXTRAL_GATEWAY_URL": "https://models.example.com:8443"}, resolve) == ("203.0.114.7/32",)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "neither is MIXTRAL_GATEWAY_URL"),
        ("http://localhost:8000", "localhost, the host of MIXTRAL_GATEWAY_URL, has no public address"),
        ("http://lan", "has no public address"),
        ("http://nowhere.example.com", "has no address"),
    ],
)
def test_a_gateway_that_no_machine_could_see_is_said(url, said):
    with pytest.raises(CidrsError, match=said):
        admitted({"MIXTRAL_GATEWAY_URL": url}, resolve)
