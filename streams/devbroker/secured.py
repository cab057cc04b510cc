"""A local broker with secured listeners, for tests and for `emberline bench ingest --secured`.

Besides the listener without encryption, whose clients may do everything, it has one of each kind:
TLS, TLS with a certificate of the client, and SASL with and without TLS. Rights are by ACLs.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from streams.devbroker.broker import LocalBroker
from streams.devbroker.certificates import Authority, Certificate
from streams.devbroker.config import listener_ports, server_properties

__all__ = ["ADMIN", "SESSION_MS", "SecuredBroker"]

ADMIN = "admin"
"""A user with all rights."""
SESSION_MS = 4_000
"""Sessions of SCRAM-SHA-256 end after this time; those of the other mechanisms do not end."""

_LISTENERS = {
    "TLS": "SSL",
    "MUTUAL": "SSL",
    "SASL": "SASL_SSL",
    "OPEN": "SASL_PLAINTEXT",
    "MISNAMED": "SSL",
    "EXPIRED": "SSL",
}
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
_MODULES = "org.apache.kafka.common.security"


class SecuredBroker(LocalBroker):
    """Started as `LocalBroker`; `users` are passwords by name, and ADMIN has one too.

    `listeners` are addresses by name: TLS, MUTUAL, SASL, OPEN (SASL without TLS), and MISNAMED and
    EXPIRED with such certificates. Needs Java, and `openssl` for the certificates of `authority`.
    """

    def __init__(
        self,
        folder: Path,
        users: Mapping[str, str],
        *,
        heap: str = "1g",
        deadline_s: float = 60.0,
        say: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        env = {name: text for name, text in os.environ.items() if name not in _ELSEWHERE}
        super().__init__(folder, heap=heap, deadline_s=deadline_s, env=env, say=say)
        self._in_docker = False
        self.authority = Authority(folder.absolute() / "certificates")
        self.users = {ADMIN: "admin-secret", **users}
        self._certificates = {
            "": self.authority.issue("broker"),
            "MISNAMED": self.authority.issue("misnamed", ("elsewhere.example",)),
            "EXPIRED": self.authority.issue("expired", expired=True),
        }
        self.listeners: dict[str, str] = {}

    def security(self, listener: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, object]:
        """The settings of a client of this listener that say how it connects; not its user."""
        found: dict[str, object] = {
            "bootstrap_servers": self.listeners[listener],
            "kafka_security": _LISTENERS[listener].lower(),
            "kafka_ca_file": str(self.authority.certificate),
            "kafka_sasl_mechanism": mechanism,
        }
        return found

    def as_user(
        self, name: str, mechanism: str = "SCRAM-SHA-512", listener: str = "SASL"
    ) -> dict[str, object]:
        """The settings of a client of this user, with its password in a file."""
        file = self.folder / f"{name}.password"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(f"{self.users[name]}\n")
        user = {"kafka_sasl_user": name, "kafka_sasl_password_file": str(file)}
        return self.security(listener, mechanism) | user

    def _properties(self, data: Path, port: int, controller_port: int) -> str:
        if self.pid is None and not (self.listeners and (data / "meta.properties").exists()):
            ports = listener_ports(len(_LISTENERS))
            names = zip(_LISTENERS, ports, strict=True)
            self.listeners = {name: f"127.0.0.1:{number}" for name, number in names}
        return server_properties(data, port, controller_port, self._secured(), self.listeners)

    def _secured(self) -> dict[str, str]:
        kinds = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **_LISTENERS}
        found = {
            "listener.security.protocol.map": ",".join(f"{n}:{k}" for n, k in kinds.items()),
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._certificates[""].both),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.certificate),
            "listener.name.mutual.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": ",".join(_MECHANISMS),
            "listener.name.open.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl.scram-sha-256.connections.max.reauth.ms": str(SESSION_MS),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:{ADMIN};User:CN={ADMIN}",
        }
        for name in ("MISNAMED", "EXPIRED"):
            store = f"listener.name.{name.lower()}.ssl.keystore"
            found[f"{store}.type"] = "PEM"
            found[f"{store}.location"] = str(self._certificates[name].both)
        for mechanism, module in self._modules().items():
            found[f"listener.name.sasl.{mechanism}.sasl.jaas.config"] = module
        scram = self._modules()["scram-sha-512"]
        found["listener.name.open.scram-sha-512.sasl.jaas.config"] = scram
        return found

    def _modules(self) -> dict[str, str]:
        users = " ".join(f'user_{name}="{word}"' for name, word in self.users.items())
        scram = f"{_MODULES}.scram.ScramLoginModule required;"
        return {
            "plain": f"{_MODULES}.plain.PlainLoginModule required {users};",
            "scram-sha-256": scram,
            "scram-sha-512": scram,
            "oauthbearer": f"{_MODULES}.oauthbearer.OAuthBearerLoginModule required "
            'unsecuredLoginStringClaim_sub="broker";',
        }

    def _format_options(self) -> list[str]:
        return [
            option
            for name, password in self.users.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for option in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
        ]

    def client_certificate(self, name: str, *, expired: bool = False) -> Certificate:
        """A certificate for a client, of the authority that the broker trusts."""
        return self.authority.issue(name, (), expired=expired)


_ELSEWHERE = ("KAFKA_BOOTSTRAP_SERVERS",)
