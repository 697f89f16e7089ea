from datetime import timedelta

import pytest

from tests.fakes.haproxy_certificates import self_signed
from workers.gateway.certificate import combined
from workers.gateway.errors import GatewayError


def test_a_certificate_and_its_key_become_one_file(tmp_path):
    pem = combined(*self_signed(tmp_path, "localhost"))
    assert "BEGIN CERTIFICATE" in pem
    assert "PRIVATE KEY" in pem


def test_a_certificate_that_does_not_match_its_key_is_refused(tmp_path):
    certificate, _ = self_signed(tmp_path, "one")
    _, key = self_signed(tmp_path, "two")
    with pytest.raises(GatewayError, match="does not match the key"):
        combined(certificate, key)


def test_a_file_that_is_missing_is_named_with_its_variable(tmp_path):
    certificate, key = self_signed(tmp_path, "one")
    with pytest.raises(GatewayError, match="MIXTRAL_TLS_KEY"):
        combined(certificate, tmp_path / "nowhere.key")
    with pytest.raises(GatewayError, match="MIXTRAL_TLS_CERT"):
        combined(tmp_path / "nowhere.crt", key)


def test_what_is_no_certificate_is_refused(tmp_path):
    _, key = self_signed(tmp_path, "one")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(GatewayError, match="PEM"):
        combined(tmp_path / "text", key)


@pytest.mark.parametrize(
    ("starts", "ends", "why"),
    [(timedelta(days=-9), timedelta(days=-1), "expired"), (timedelta(days=1), timedelta(days=9), "not yet valid")],
)
def test_a_certificate_out_of_its_time_is_refused(tmp_path, starts, ends, why):
    with pytest.raises(GatewayError, match=why):
        combined(*self_signed(tmp_path, "one", starts=starts, ends=ends))
