"""The environment, typed: what cannot be read is a sentence, and no sentence quotes a secret."""

import pytest

from workers.settings import SettingsError, from_environ


@pytest.fixture
def environ(tmp_path):
    return {"MIXTRAL_HOME": str(tmp_path)}


@pytest.mark.parametrize(
    "url",
    [
        "valkey://:hunter2@host:6379/0",
        "redis://:hunter2/@host:6379/0",
        "redis://:hunter2[@host:6379/0",
        "redis://:hunter2@host:99999/0",
        "hunter2@host:6379",
    ],
)
def test_no_error_about_the_address_of_redis_quotes_its_password(environ, url):
    with pytest.raises(SettingsError, match="REDIS_URL is not a Redis address") as refused:
        from_environ({**environ, "REDIS_URL": url})
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    ["redis://localhost", "rediss://user:p%2Fw@host:6380/1", "unix:///run/valkey.sock?db=0", "redis://[::1]:6379"],
)
def test_addresses_of_redis_are_taken_as_they_are(environ, url):
    assert from_environ({**environ, "REDIS_URL": url}).redis_url == url


@pytest.mark.parametrize("name", ["MIXTRAL_GATEWAY_URL", "MIXTRAL_GATEWAY_INTERNAL_URL"])
@pytest.mark.parametrize("url", ["http://[::1", "http://host:99999", "http://host:port", "http://host:0"])
def test_an_address_of_the_gateway_that_cannot_be_one_is_a_sentence(environ, name, url):
    with pytest.raises(SettingsError, match=f"{name}=.* is not an address"):
        from_environ({**environ, name: url}, needs_redis=False)
