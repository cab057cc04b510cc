"""The objects of a worker that the handlers of all routes need."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from aiohttp import web

from agents.http import ended_file
from agents.http.admission import Admission
from agents.http.attempts import Attempts
from agents.http.certificate_watch import CertificateWatch
from agents.http.ended_file import EndedFile
from agents.http.kept_files import KeptFiles
from agents.http.keyring import KeyRing
from agents.http.listener_tls import ListenerTls
from agents.http.quota import Quota
from agents.http.session import EndedSessions
from agents.http.signature import Nonces
from agents.requests.commands import Commands
from agents.requests.events import EventHub
from agents.requests.imports import Imports
from agents.resources.budget import answers
from agents.resources.pace import Pace
from agents.scatter.largest import LargestSources, Outline
from agents.scatter.merge_map import MergeMap
from agents.scatter.outlines import Outlines
from agents.scatter.peers import Peers
from agents.supervision.shard_manager import ShardManager
from agents.supervision.topic_watch import TopicWatch
from agents.views.catalog_view import CatalogView
from agents.views.protocol import ChangingStates
from agents.views.request_view import RequestView
from agents.views.source_table import SourceTable
from streams.clock import Clock, SystemClock
from streams.kafka.log import Log
from streams.kafka.security import security_of
from streams.metrics.meters import Meters
from streams.period import seconds
from streams.settings import Settings

__all__ = ["CONTEXT", "WorkerContext"]


def _no_catalog() -> CatalogView:
    """An empty catalog that has caught up."""
    view = CatalogView()
    view.caught_up.set()
    return view


def _outlines(manager: ShardManager) -> list[Outline]:
    """Of the shards that are ready."""
    return [one.outline for one in manager.shards.values() if one is not None and one.ready]


def _no_requests() -> RequestView:
    """As above."""
    view = RequestView()
    view.caught_up.set()
    return view


@dataclass
class WorkerContext:
    """One a worker. `address` is known once the server listens; `tls` is None if it serves http;
    `name`, known then too, tells this process from all others.
    """

    settings: Settings
    manager: ShardManager
    states: ChangingStates
    topics: TopicWatch
    kafka: Log = field(repr=False)
    catalog: CatalogView = field(default_factory=_no_catalog)
    clock: Clock = field(default_factory=SystemClock)
    address: str = ""
    name: str = ""
    requests: RequestView = field(default_factory=_no_requests)
    meters: Meters = field(default_factory=Meters, repr=False)
    commands: Commands = field(init=False, repr=False)
    events: EventHub = field(init=False, repr=False)
    table: SourceTable = field(init=False, repr=False)
    outlines: Outlines = field(init=False, repr=False)
    merges: MergeMap = field(init=False, repr=False)
    pace: Pace = field(init=False, repr=False)
    largest: LargestSources = field(init=False, repr=False)
    imports: Imports = field(init=False, repr=False)
    keyring: KeyRing = field(init=False)
    tls: ListenerTls | None = field(init=False, repr=False)
    certificates: CertificateWatch = field(init=False, repr=False)
    admission: Admission = field(init=False)
    spools: Quota = field(init=False)
    exports: KeptFiles = field(init=False, repr=False)
    refusal: Callable[[], str] = lambda: ""
    """Why brokers refuse new connections of this worker, or which rights it lacks; empty if they do
    not.
    """
    nonces: Nonces = field(default_factory=Nonces, repr=False)
    peers: Peers = field(init=False, repr=False)
    ended_sessions: EndedSessions = field(init=False, repr=False)
    ended_file: EndedFile = field(init=False, repr=False)
    sign_ins: Attempts = field(default_factory=Attempts, repr=False)

    def tls_troubles(self) -> Mapping[str, str]:
        """What is wrong with certificates, by their use: `listener`, `workers` (asking the others)
        and `kafka`, as far as the settings have it. Empty if nothing is.
        """
        found = {}
        if self.tls is not None:
            found["listener"] = self.tls.trouble
            found["workers"] = self.peers.trouble
        if self.settings.kafka_security in ("ssl", "sasl_ssl"):
            found["kafka"] = security_of(self.settings).trouble
        return found

    def __post_init__(self) -> None:
        self.keyring = KeyRing(self.settings.keys_file)
        https = bool(self.settings.http_certificate_file)
        self.tls = ListenerTls(self.settings) if https else None
        self.certificates = CertificateWatch(self.settings)
        self.ended_sessions = ended_file.read(self.settings.data_dir, self.clock.now_ms())
        self.ended_file = EndedFile(self.settings.data_dir, self.ended_sessions)
        self.admission = Admission(answers(self.settings.memory_budget), self.clock)
        self.spools = Quota(self.settings.data_dir, self.settings.spool_bytes)
        keep_s = seconds(self.settings.export_keep)
        self.exports = KeptFiles(self.spools, self.clock, keep_s)
        self.peers = Peers(self.settings, self.keyring, self.clock)
        self.commands = Commands(self.settings, self.kafka, self.keyring, self.clock, self.requests)
        self.table = SourceTable(self.states)
        self.outlines = Outlines(self.clock)
        self.merges = MergeMap(self.settings.partitions)
        self.pace = Pace(self.clock)
        self.largest = LargestSources(
            self.clock, self.settings.metrics_sources, partial(_outlines, self.manager)
        )
        self.imports = Imports(self.clock)
        self.events = EventHub(
            self.states,
            self.requests,
            self.catalog,
            self.clock,
            most=self.settings.http_connections // 2,
        )


CONTEXT: web.AppKey[WorkerContext] = web.AppKey("context", WorkerContext)
