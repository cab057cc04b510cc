"""The settings: defaults, then `emberline.toml`, then the environment, then flags.

In the environment a setting is `EMBERLINE_` and its name in capitals; for the broker's
address `KAFKA_BOOTSTRAP_SERVERS` is honoured too.
"""

import dataclasses
import logging
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from schemas.errors import UsageError
from schemas.words.nearest import nearest
from streams import settings_values as values
from streams.period import Period

__all__ = ["LANGUAGES", "SettingLine", "Settings", "describe", "load", "names"]

_HUGE = 1 << 60
LANGUAGES = ("en", "ja", "fr", "ko", "pt-BR", "es")
"""Of mail, and of the page."""
_MOST_BYTES = 1_000_000
"""Of a settings file."""
_LIKENESS = 0.85
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP)(_\w+)?$")

_log = logging.getLogger(__name__)


def _setting(
    default: object, read: values.Read, doc: str, *, secret: bool = False, address: bool = False
) -> Any:
    """`secret`: never shown; `address`: of recipients, shown to operators only."""
    return field(
        default_factory=lambda: read(default),
        metadata={"read": read, "doc": doc, "secret": secret, "address": address},
        repr=not secret,
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting, typed. A value may be given in the notation of the environment.

    `origins` gives the origin of each value by name. Raises UsageError for a bad value.
    """

    bootstrap_servers: str = _setting(
        "127.0.0.1:9092",
        values.text(r"[^\s,]+:\d+(,[^\s,]+:\d+)*", "an address such as host:9092"),
        "addresses of the Kafka brokers, with commas between",
    )
    kafka_security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = _setting(
        "plaintext",
        values.choice("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"),
        "how connections to the brokers are secured: plaintext, ssl (encrypted), sasl_plaintext "
        "(user and password), or sasl_ssl (both)",
    )
    kafka_ca_file: str = _setting(
        "",
        values.text(),
        "certificates that the brokers' must come from, PEM (empty: the system's)",
    )
    kafka_cert_file: str = _setting(
        "", values.text(), "certificate that this client shows the brokers, with its chain, PEM"
    )
    kafka_key_file: str = _setting(
        "", values.text(), "private key of that certificate, PEM (empty: in kafka_cert_file)"
    )
    kafka_key_password: str = _setting("", values.text(), "password of that key", secret=True)
    kafka_key_password_file: str = _setting(
        "", values.text(), "file whose first line is that password, instead of the setting"
    )
    kafka_check_hostname: bool = _setting(
        True, values.flag, "whether a broker's certificate must name the host that is connected to"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = (
        _setting(
            "SCRAM-SHA-512",
            values.choice("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"),
            "how this client proves who it is, with sasl_plaintext and sasl_ssl: PLAIN, "
            "SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER",
        )
    )
    kafka_sasl_user: str = _setting("", values.text(), "user of PLAIN and SCRAM")
    kafka_sasl_password: str = _setting("", values.text(), "password of that user", secret=True)
    kafka_sasl_password_file: str = _setting(
        "", values.text(), "file whose first line is that password, instead of the setting"
    )
    kafka_token_file: str = _setting(
        "", values.text(), "file with the token of OAUTHBEARER; read again for each connection"
    )
    kafka_token_url: values.Address = _setting(
        "",
        values.address,
        "address that gives tokens for OAUTHBEARER (client credentials of OAuth 2), instead of the "
        "file",
    )
    kafka_token_client_id: str = _setting(
        "", values.text(), "client id with which tokens are asked for"
    )
    kafka_token_client_secret: str = _setting(
        "", values.text(), "secret of that client id", secret=True
    )
    kafka_token_client_secret_file: str = _setting(
        "", values.text(), "file whose first line is that secret, instead of the setting"
    )
    kafka_token_scope: str = _setting(
        "", values.text(), "scope that is asked for (empty: the server's default)"
    )
    kafka_token_ca_file: str = _setting(
        "",
        values.text(),
        "certificates that the token server's must come from, PEM (empty: the system's)",
    )
    prefix: str = _setting(
        "emberline.",
        values.text(r"[A-Za-z0-9._-]{0,150}", "letters, digits, dots, dashes, underscores"),
        "what every topic's name begins with",
    )
    client_id: str = _setting(
        "emberline", values.text(r"\S+", "a name"), "name shown in the brokers' logs and quotas"
    )
    partitions: int = _setting(
        16, values.number(1, 10_000), "shards: partitions of the event topics and the hot table"
    )
    replication_factor: int = _setting(
        1, values.number(1, 100), "copies that Kafka keeps of every topic that is created"
    )
    retention: Period = _setting(
        "P3M", values.period, "how long a stopped source stays hot without use"
    )
    retention_by_tag: Mapping[str, Period] = _setting(
        "", values.periods_by_name, "longer retention for sources with a tag: vip=P1Y"
    )
    retention_by_kind: Mapping[str, Period] = _setting(
        "",
        values.periods_by_word("campaign", "canvas"),
        "longer retention for a kind of source: canvas=P6M",
    )
    policy_effective_at: str = _setting(
        "", values.date, "date (UTC) before which no retention begins to run, such as 2026-01-31"
    )
    release: Literal["retention-after-last-use", "at-next-sweep"] = _setting(
        "retention-after-last-use",
        values.choice("retention-after-last-use", "at-next-sweep"),
        "when a source expires whose last use ends after its retention has passed: one retention "
        "after that use, or at-next-sweep",
    )
    restore_on_resume: bool = _setting(
        True, values.flag, "restore an expired source as soon as it is active again"
    )
    segments_are_roots: bool = _setting(
        True,
        values.flag,
        "A source stays hot while an active campaign, Canvas or Content Card, or an active segment "
        "(setting segments_are_roots, on by default), uses it in a filter about one source, "
        "itself or through segments, or lists it in references.",
    )
    expiring_soon: tuple[Period, ...] = _setting(
        "P30D,P7D", values.intervals, "how long ahead an expiry is announced"
    )
    sweep_interval: Period = _setting(
        "PT1H", values.interval, "how often sources are checked for being due"
    )
    sweep_confirm_share: float = _setting(
        0.5,
        values.fraction,
        "share of the hot sources above which a sweep asks for `emberline confirm`",
    )
    clock_skew: Period = _setting(
        "PT5M", values.interval, "difference to the broker's clock above which nothing expires"
    )
    shard_deadline: Period = _setting(
        "PT10M", values.interval, "after this long without a report a shard counts as stuck"
    )
    http_host: str = _setting(
        "127.0.0.1", values.text(r"\S+", "a host name or address"), "where the worker listens"
    )
    http_port: int = _setting(6066, values.number(0, 65_535), "port of the worker (0: any free)")
    http_body_bytes: int = _setting(
        "1MB", values.size(1_000, 1 << 20), "longest body of a request that is read"
    )
    http_timeout: Period = _setting(
        "PT5M", values.interval, "a request whose answer has not begun by then is given up"
    )
    http_rate: int = _setting(
        50, values.number(0, 1_000_000), "requests a second that one key may make (0: any number)"
    )
    csv_safe: bool = _setting(
        True,
        values.flag,
        "whether cells of users.csv and of audiences that a spreadsheet would take for formulas "
        "begin with an apostrophe (rows of /interactions are always exact)",
    )
    http_connections: int = _setting(
        512, values.number(8, 1_000_000), "connections at once; half of the descriptors at most"
    )
    http_connections_by_address: int = _setting(
        200, values.number(1, 1_000_000), "connections at once of one address, such as a proxy's"
    )
    spool_bytes: int = _setting(
        "10GB",
        values.size(1_000_000, _HUGE),
        "bytes in data_dir of answers that are made on disk before they are sent",
    )
    export_keep: Period = _setting(
        "PT4H",
        values.interval,
        "how long the file that /users/export/segment has made can be downloaded",
    )
    http_idle: Period = _setting(
        "PT20S", values.interval, "a connection without a whole request is closed after this long"
    )
    http_certificate_file: str = _setting(
        "",
        values.text(),
        "certificate of the worker, PEM, with the certificates that lead to its authority: with it "
        "the worker serves https; read again when it changes",
    )
    http_key_file: str = _setting(
        "", values.text(), "key of that certificate, PEM (empty: it is in the same file)"
    )
    http_key_password_file: str = _setting(
        "", values.text(), "file whose first line is the password of that key"
    )
    http_client_ca_file: str = _setting(
        "",
        values.text(),
        "certificates that a client's must come from, PEM: every request but /healthz and /readyz "
        "needs one then",
    )
    http_ca_file: str = _setting(
        "",
        values.text(),
        "certificates that the one of a worker must come from, PEM, where workers and commands ask "
        "over https (empty: the system's)",
    )
    http_client_certificate_file: str = _setting(
        "",
        values.text(),
        "certificate to show when a worker is asked, PEM (empty: a worker shows its own, a command "
        "none)",
    )
    http_client_key_file: str = _setting(
        "", values.text(), "key of that certificate, PEM (empty: it is in the same file)"
    )
    http_client_key_password_file: str = _setting(
        "", values.text(), "file whose first line is the password of that key"
    )
    advertised_url: str = _setting(
        "",
        values.text(
            r"(https?://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_][A-Za-z0-9._-]{0,252})(:[0-9]{1,5})?)?",
            "an address such as https://worker-1.example:6066",
        ),
        "address at which the other workers reach this one, where it differs from http_host and "
        "http_port: containers, NAT, names in certificates",
    )
    group_instance_id: str = _setting(
        "",
        values.text(r"[A-Za-z0-9._-]{0,249}", "letters, digits, dots, dashes, underscores"),
        "name of this worker in the group, another one for each worker: a worker with a name keeps "
        "its shards while it restarts",
    )
    group_instance_session: Period = _setting(
        "PT45S",
        values.interval_of(10, 1_800),
        "so long the group keeps the shards of a worker with group_instance_id that is away; "
        "longer than a restart takes, and no longer than the broker's group.max.session.timeout.ms",
    )
    url: values.Address = _setting(
        "",
        values.address,
        "address of the worker that commands ask (empty: http_host and http_port)",
    )
    keys_file: Path = _setting(
        "emberline-keys.json",
        values.path,
        "keys of the HTTP interface; where there is none, only this machine is served",
    )
    erasure_key_file: Path = _setting(
        "emberline-erasure.key",
        values.path,
        "key under which erased users are hashed; all workers need the same, for ever: back it up",
    )
    access_log: str = _setting(
        "",
        values.text(),
        "file for who exported which users, a JSON object a line (empty: the worker's log, which "
        "does not name the users)",
    )
    log_format: Literal["text", "json"] = _setting(
        "text", values.choice("text", "json"), "form of the worker's log: a line or an object"
    )
    metrics_open: bool = _setting(
        False, values.flag, "whether GET /metrics is answered without a key where there are keys"
    )
    metrics_sources: int = _setting(
        20,
        values.number(0, 1_000),
        "so many of the largest sources have metrics of their own; 0: none",
    )
    require_keys: bool = _setting(
        False, values.flag, "whether a worker without keys serves nobody, not even this machine"
    )
    api_key: str = _setting(
        "", values.text(r"\S*", "a key"), "key with which commands ask a worker", secret=True
    )
    data_dir: Path = _setting(
        "emberline-data", values.path, "folder of the local stores, safe to lose"
    )
    memory_budget: int = _setting(
        "1GB", values.size(100_000_000, _HUGE), "bytes a worker may use: 800MB, 1GB"
    )
    linger: Period = _setting(
        "PT0.2S", values.interval, "how long events are gathered for one step while they come in"
    )
    fetch_bytes: int = _setting(
        "8MB", values.size(1_000, 1_000_000_000), "bytes a shard may have fetched and not folded"
    )
    max_batch_bytes: int = _setting(
        "16MB",
        values.size(1_000_000, 200_000_000),
        "a record batch that takes more bytes when it is decompressed is rejected whole",
    )
    max_field_bytes: int = _setting(
        512,
        values.number(1, 10_000),
        "bytes of a field: an event with a longer one, in a field that is kept, is rejected",
    )
    external_ids: bool = _setting(
        True,
        values.flag,
        "whether users are also known by the external_user_id of their events, where the users "
        "topic says nothing of them; some 100 bytes of memory a user once profiles are read",
    )
    repeat_window: int = _setting(
        1_000_000,
        values.number(0, _HUGE),
        "events of a shard within which a repeated event id is counted once",
    )
    late_rows: int = _setting(
        50_000, values.number(1, _HUGE), "late rows of an expired source that are archived at once"
    )
    late_age: Period = _setting(
        "P90D", values.interval, "age at which fewer late rows are archived too"
    )
    step_bytes: int = _setting(
        "16MB", values.size(1, 1_000_000_000), "bytes of one transaction, about"
    )
    segment_rows: int = _setting(50_000, values.number(1, 10_000_000), "most rows of a segment")
    segment_bytes: int = _setting(
        "900kB", values.size(1_000, 950_000), "most bytes of a segment, which is one record"
    )
    delta_rows: int = _setting(
        200_000, values.number(1, _HUGE), "rows in a shard's deltas at which they are flushed"
    )
    own_rows: int = _setting(
        4_000, values.number(1, _HUGE), "rows of a source in a flush that get their own segments"
    )
    fan_in: int = _setting(
        6, values.number(2, 1_000), "segments of a level that may overlap before they are merged"
    )
    transaction_timeout: Period = _setting(
        "PT15S", values.interval, "after this long the broker ends a dead worker's transaction"
    )
    schema_registry_url: values.Address = _setting(
        "",
        values.address,
        "a Confluent-compatible schema registry: with one its ids count for events, users and "
        "definitions (empty: the ids in this distribution)",
    )
    schema_registry_user: str = _setting(
        "", values.text(r"[^\s:]*", "a name"), "user of the schema registry, for HTTP Basic"
    )
    schema_registry_password: str = _setting(
        "", values.text(), "password of that user", secret=True
    )
    schema_registry_password_file: str = _setting(
        "", values.text(), "file whose first line is that password, instead of the setting"
    )
    schema_registry_token_file: str = _setting(
        "",
        values.text(),
        "file with a token for the schema registry (bearer), instead of user and password; read "
        "again for each call",
    )
    schema_registry_ca_file: str = _setting(
        "",
        values.text(),
        "certificates that the schema registry's must come from, PEM (empty: the system's)",
    )
    mappings_file: str = _setting(
        "",
        values.text(),
        "file (TOML) that says how records of other programs on the topics of events and users "
        "become ours; the same for all workers (empty: only our own records are read)",
    )
    public_url: values.Address = _setting(
        "", values.address, "address of the worker as people reach it: links in mail begin with it"
    )
    notify_to: tuple[str, ...] = _setting(
        "",
        values.words(r"[^\s@]+@[^\s@]+", "a mail address"),
        "mail addresses that are told of restores, expiries, stuck work and what expires soon",
        address=True,
    )
    notify_language: str = _setting(
        "en", values.choice(*LANGUAGES), "language of mail: en, ja, fr, ko, pt-BR, es"
    )
    notify_languages: Mapping[str, str] = _setting(
        "",
        values.choices_by_name(*LANGUAGES),
        "language of an address or a domain: ada@example.com=fr,example.jp=ja",
        address=True,
    )
    mail_from: str = _setting(
        "",
        values.text(r"([^\s@<>]+@[^\s@<>]+)?", "a mail address"),
        "sender of mail (empty: emberline@ and the name of the machine)",
    )
    smtp_host: str = _setting(
        "", values.text(r"\S*", "a host name or address"), "mail server (empty: no mail is sent)"
    )
    smtp_port: int = _setting(587, values.number(1, 65_535), "port of the mail server")
    smtp_tls: Literal["none", "starttls", "tls"] = _setting(
        "starttls",
        values.choice("none", "starttls", "tls"),
        "encryption to the mail server: tls from the first byte (port 465), starttls, or none",
    )
    smtp_ca_file: str = _setting(
        "",
        values.text(),
        "certificates that the mail server's must come from (empty: the system's)",
    )
    smtp_user: str = _setting("", values.text(), "user of the mail server (empty: no login)")
    smtp_password: str = _setting("", values.text(), "password of that user", secret=True)
    smtp_password_file: str = _setting(
        "", values.text(), "file whose first line is that password, instead of the setting"
    )
    webhook_urls: tuple[values.Address, ...] = _setting(
        "",
        values.addresses,
        "addresses that are called with every message, with commas between",
        address=True,
    )
    webhook_secrets: str = _setting(
        "",
        values.text(),
        "secret that signs webhooks, whsec_ and base64; while it changes two, the new one first",
        secret=True,
    )
    webhook_secrets_file: str = _setting(
        "", values.text(), "file with the one or two secrets, a line each, instead of the setting"
    )
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for part in _parts():
            value = _read(part, getattr(self, part.name), part.name)
            object.__setattr__(self, part.name, value)
        origins = {part.name: self.origins.get(part.name, "default") for part in _parts()}
        object.__setattr__(self, "origins", MappingProxyType(origins))

    @property
    def group_id(self) -> str:
        """The consumer group of the workers."""
        return f"{self.prefix}workers"


SET = "(set)"
"""Shown instead of a secret."""


@dataclass(frozen=True, slots=True)
class SettingLine:
    """One setting as it is shown: a secret's value is `(set)` or empty."""

    name: str
    value: str
    origin: str
    doc: str


def load(
    flags: Mapping[str, object] | None = None,
    env: Mapping[str, str] = os.environ,
    file: Path = Path("emberline.toml"),
) -> Settings:
    """Settings from defaults, then `file` (if it exists), then `env`, then `flags`.

    A flag of None counts as not given. Raises UsageError, naming place and remedy, for an unknown
    name in the file or the flags, for a misspelt name in the environment, and for a bad value.
    """
    found: dict[str, object] = {}
    origins: dict[str, str] = {}
    for name, value, origin in (*_from_file(file), *_from_env(env), *_from_flags(flags or {})):
        found[name] = _read(_part(name, origin), value, f"{origin}: {name}")
        origins[name] = origin
    return Settings(**found, origins=origins)  # type: ignore[arg-type]  # read by field above


def names() -> tuple[str, ...]:
    """The name of every setting."""
    return tuple(part.name for part in _parts())


def describe(settings: Settings, *, addresses: bool = True) -> list[SettingLine]:
    """Every setting with its value, the origin of the value, and its documentation. Without
    `addresses` those of recipients are shown as secrets are.
    """
    lines = []
    for part in _parts():
        value = values.show(getattr(settings, part.name))
        if part.metadata["secret"] or (part.metadata["address"] and not addresses):
            value = SET if value else ""
        origin = settings.origins[part.name]
        lines.append(SettingLine(part.name, value, origin, part.metadata["doc"]))
    return lines


def _parts() -> Iterator["dataclasses.Field[Any]"]:
    return (part for part in dataclasses.fields(Settings) if "read" in part.metadata)


def _part(name: str, origin: str) -> "dataclasses.Field[Any]":
    known = {part.name: part for part in _parts()}
    if name not in known:
        near = nearest(name, known)
        hint = f"Did you mean {near}? " if near else ""
        raise UsageError(
            f"{origin}: there is no setting {name!r}",
            remedy=f"{hint}`emberline settings` lists them all",
        )
    return known[name]


def _read(part: "dataclasses.Field[Any]", value: object, where: str) -> object:
    try:
        return part.metadata["read"](value)
    except UsageError as error:
        # a wrong secret is still a secret: the message would quote it
        what = "not a valid value" if part.metadata["secret"] else error.message
        raise UsageError(f"{where}: {what}", remedy=error.remedy) from None


def _from_file(file: Path) -> Iterator[tuple[str, object, str]]:
    try:
        # never wait for the other end of a pipe, nor read without end
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    remedy = "Mend the file, or remove it"
    with os.fdopen(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise UsageError(f"{file} is no file", remedy=remedy)
        content = opened.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise UsageError(f"{file} has more than {_MOST_BYTES:,} bytes", remedy=remedy)
    try:
        table = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{file}: {error}", remedy=remedy) from error
    yield from ((name, value, str(file)) for name, value in table.items())


def _from_env(env: Mapping[str, str]) -> Iterator[tuple[str, object, str]]:
    if env.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield "bootstrap_servers", env["KAFKA_BOOTSTRAP_SERVERS"], "KAFKA_BOOTSTRAP_SERVERS"
    for part in _parts():
        variable = f"EMBERLINE_{part.name.upper()}"
        if variable in env:
            yield part.name, env[variable], variable
    _look_at_unknown(env)


def _look_at_unknown(env: Mapping[str, str]) -> None:
    """Raise UsageError for a misspelt variable, which would silently leave a setting at its
    default.

    A variable that is similar to none of ours may belong to another program, so it is only logged.
    Variables that Kubernetes sets for a service of this name are ignored.
    """
    known = {f"EMBERLINE_{name.upper()}" for name in names()}
    for variable in sorted(env):
        if not variable.startswith("EMBERLINE_") or variable in known:
            continue
        if _SERVICE_LINK.search(variable) or env[variable].startswith(("tcp://", "udp://")):
            continue
        near = nearest(variable, known, cutoff=_LIKENESS)
        if near is not None:
            raise UsageError(
                f"{variable}: there is no such setting", remedy=f"Did you mean {near}? Unset it"
            )
        _log.warning(
            "%s is no setting and changes nothing: `emberline settings` lists them", variable
        )


def _from_flags(flags: Mapping[str, object]) -> Iterator[tuple[str, object, str]]:
    for name, value in flags.items():
        if value is not None:
            yield name.replace("-", "_"), value, f"--{name.replace('_', '-')}"
