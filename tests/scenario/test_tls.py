"""An endpoint with a certificate: of a house's own authority, as many have it, or one that cannot serve."""

import ssl
import subprocess
import sys

import httpx

from tests.fakes.haproxy_certificates import self_signed
from tests.line import Line
from tests.person import GENERAL, Person, words


class Secure(Line):
    """Its gateway shows a certificate that only SSL_CERT_FILE vouches for."""

    def __init__(self, folder):
        certificate, key = self_signed(folder, "localhost")
        super().__init__(folder)
        self.gateway = f"https://localhost:{self.gateway_port}"
        self.context = ssl.create_default_context(cafile=certificate)
        self.env |= {
            "MIXTRAL_TLS_CERT": str(certificate),
            "MIXTRAL_TLS_KEY": str(key),
            "MIXTRAL_GATEWAY_URL": self.gateway,
            "SSL_CERT_FILE": str(certificate),
        }

    def gateway_answers(self):
        try:
            return httpx.get(f"{self.gateway}/health", verify=self.context, timeout=5).is_success
        except httpx.HTTPError:
            return False


def test_an_endpoint_with_a_certificate_is_tested_and_asked_through_it(tmp_path):
    with Secure(tmp_path) as line, Person(line.page) as robin:
        robin.command(GENERAL, "/mixtral launch scripted as s")
        robin.wait_for_message(GENERAL, lambda m: f"{line.gateway}/v1" in words(m) and "condiment" in words(m))
        question = robin.say(GENERAL, "@mixtral What is ketchup?")
        robin.wait_for_message(GENERAL, lambda m: "This answer comes" in words(m), thread_ts=question, timeout=30)


def test_a_certificate_that_does_not_match_its_key_starts_no_gateway_and_says_so(tmp_path):
    certificate, _ = self_signed(tmp_path, "localhost")
    _, key = self_signed(tmp_path, "elsewhere")
    env = {"PATH": "", "REDIS_URL": "redis://127.0.0.1:1", "MIXTRAL_HOME": str(tmp_path / "home")}
    env |= {"MIXTRAL_TLS_CERT": str(certificate), "MIXTRAL_TLS_KEY": str(key)}
    command = [sys.executable, "-m", "bot.cli", "gateway"]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert "does not match the key" in ended.stderr
    assert "Traceback" not in ended.stderr
