"""Reading and checking the gateway's certificate and key before HAProxy loads them."""

import contextlib
import ssl
from pathlib import Path

from workers.gateway.errors import GatewayError

OUT_OF_DATE = (9, 10)
"""OpenSSL's verification codes for "not yet valid" and "expired"."""


def combined(certificate: Path, key: Path) -> str:
    """Certificate and key as one PEM text, which contains a secret. Raises GatewayError if they are not usable."""
    texts = [_read(certificate, "MIXTRAL_TLS_CERT", "certificate"), _read(key, "MIXTRAL_TLS_KEY", "key")]
    try:
        # With an empty password, OpenSSL fails on an encrypted key instead of prompting at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise GatewayError(
                f"The certificate {certificate} does not match the key {key}: they belong to different pairs. "
                "Set MIXTRAL_TLS_CERT and MIXTRAL_TLS_KEY to files that were issued together."
            ) from error
        raise GatewayError(
            f"{certificate} and {key} are not a certificate and a key in PEM form ({error.reason or 'unreadable'}). "
            "The certificate begins with -----BEGIN CERTIFICATE-----, followed by its chain; the key has no password."
        ) from error
    _valid_now(certificate, key)
    return "\n".join(texts)


def _read(path: Path, variable: str, what: str) -> str:
    try:
        return path.read_text().strip() + "\n"
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise GatewayError(
            f"The gateway's {what} {path} cannot be read ({why}). Set {variable} to a PEM file that this user may read."
        ) from error


def _valid_now(certificate: Path, key: Path) -> None:
    """Raise GatewayError if the certificate is expired or not yet valid, according to a TLS handshake in memory."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # trusts the certificate itself: only its dates are checked
    client.load_verify_locations(certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True))
    try:
        for end in ends * 2:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in OUT_OF_DATE:
            raise GatewayError(
                f"The certificate {certificate} is not valid today: {error.verify_message}. Renew it, and start again."
            ) from error
