"""The policy of the rules: the settings that affect the lifecycle."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from streams.period import Period, milliseconds
from streams.settings import Settings

__all__ = ["Policy"]

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Constant for the life of a coordinator. Periods whose names end in `_ms` are milliseconds."""

    partitions: int
    retention: Period = field(default_factory=lambda: Period(months=3))
    retention_by_tag: Mapping[str, Period] = field(default_factory=dict)
    retention_by_kind: Mapping[str, Period] = field(default_factory=dict)
    policy_effective_at: int | None = None
    count_last_use: bool = True
    """`release`: whether the retention also runs from the end of the last use."""
    restore_on_resume: bool = True
    segments_are_roots: bool = True
    expiring_soon: tuple[Period, ...] = ()
    sweep_interval_ms: int = 3_600_000
    sweep_confirm_share: float = 0.5
    sweep_batch: int = 1_000
    """Most sources that one tick starts to expire: bounds a transaction."""
    clock_skew_ms: int = 300_000
    shard_deadline_ms: int = 600_000
    keys: bool = False
    """Whether operators have keys, which prove who they are."""
    requests_kept_ms: int = 30 * _DAY_MS

    @classmethod
    def of(cls, settings: Settings) -> "Policy":
        """The policy that the settings ask for."""
        return cls(
            partitions=settings.partitions,
            retention=settings.retention,
            retention_by_tag=settings.retention_by_tag,
            retention_by_kind=settings.retention_by_kind,
            policy_effective_at=_midnight(settings.policy_effective_at),
            count_last_use=settings.release == "retention-after-last-use",
            restore_on_resume=settings.restore_on_resume,
            segments_are_roots=settings.segments_are_roots,
            expiring_soon=settings.expiring_soon,
            sweep_interval_ms=max(1, milliseconds(settings.sweep_interval)),
            sweep_confirm_share=settings.sweep_confirm_share,
            clock_skew_ms=milliseconds(settings.clock_skew),
            shard_deadline_ms=max(1, milliseconds(settings.shard_deadline)),
        )


def _midnight(date: str) -> int | None:
    """The beginning of an ISO date in UTC milliseconds; None for an empty text."""
    if not date:
        return None
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()) * 1000
