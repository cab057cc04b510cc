"""How to reach the brokers, from the variables that emberline's own programs take too.

docs/secured-kafka.md describes them.
"""

import os
import ssl
import sys
from pathlib import Path
from typing import Any

from aiokafka.abc import AbstractTokenProvider

__all__ = ["PREFIX", "connection"]

PREFIX = os.environ.get("EMBERLINE_PREFIX", "emberline.")
# of docs/secured-kafka.md, what this example leaves to your program
UNSUPPORTED = ("TOKEN_URL", "CHECK_HOSTNAME")


class TokenFile(AbstractTokenProvider):  # type: ignore[misc]  # untyped
    """Reads the token again for each connection, so another program may renew it."""

    async def token(self) -> str:
        return _secret("TOKEN")


def connection() -> dict[str, Any]:
    """The options that a producer and a consumer have in common."""
    for name in UNSUPPORTED:
        if _setting(name):
            sys.exit(f"EMBERLINE_KAFKA_{name} is set, and this example does not support it")
    brokers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if not brokers:
        sys.exit("Set KAFKA_BOOTSTRAP_SERVERS to the brokers: host:port, with commas between")
    security = _setting("SECURITY", "plaintext").upper()
    options: dict[str, Any] = {"bootstrap_servers": brokers, "security_protocol": security}
    if security.endswith("SSL"):
        context = ssl.create_default_context(cafile=_setting("CA_FILE") or None)
        if certificate := _setting("CERT_FILE"):
            password = _secret("KEY_PASSWORD")
            # a function: without it, OpenSSL asks the terminal for the password
            context.load_cert_chain(certificate, _setting("KEY_FILE") or None, lambda: password)
        options["ssl_context"] = context
    if security.startswith("SASL"):
        options["sasl_mechanism"] = _setting("SASL_MECHANISM", "SCRAM-SHA-512")
        if options["sasl_mechanism"] == "OAUTHBEARER":
            options["sasl_oauth_token_provider"] = TokenFile()
        else:
            options["sasl_plain_username"] = _setting("SASL_USER")
            options["sasl_plain_password"] = _secret("SASL_PASSWORD")
    return options


def _setting(name: str, default: str = "") -> str:
    return os.environ.get(f"EMBERLINE_KAFKA_{name}", default)


def _secret(name: str) -> str:
    """The first line of the file that the variable NAME_FILE names, or the variable NAME."""
    file = _setting(f"{name}_FILE")
    return Path(file).read_text().partition("\n")[0].strip() if file else _setting(name)
