"""The sources of the tags in one filter."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from agents.filters.plan_facts import PlanFacts, SourceView

__all__ = ["Tagged", "Tags"]

Views = tuple[tuple[str, SourceView], ...]


@dataclass(frozen=True, slots=True)
class Tagged:
    """The sources of one tag, sorted by key; each is in one of these groups.

    `lost` has neither data nor a definition, `gone` is legacy-deleted.
    """

    visible: tuple[str, ...]
    hidden: Views
    gone: Views
    lost: tuple[str, ...]
    pins: Mapping[str, int | None]
    """The versions of those visible."""


@dataclass
class Tags:
    """Looks up each tag once, for all leaves that name it."""

    plan_facts: PlanFacts
    _keys: dict[str, Collection[str] | None] = field(default_factory=dict)
    _found: dict[str, Tagged] = field(default_factory=dict)

    def keys(self, tag: str) -> Collection[str] | None:
        """The keys of the sources; None for an unknown tag."""
        if tag not in self._keys:
            self._keys[tag] = self.plan_facts.tagged(tag)
        return self._keys[tag]

    def sources(self, tag: str) -> Tagged:
        """The sources themselves."""
        if tag not in self._found:
            keys = sorted(self.keys(tag) or ())
            self._found[tag] = _sorted_out([(key, self.plan_facts.source(key)) for key in keys])
        return self._found[tag]


def _sorted_out(views: list[tuple[str, SourceView | None]]) -> Tagged:
    known = [(key, view) for key, view in views if view is not None]
    seen = [(key, view) for key, view in known if not (view.hidden or view.legacy_deleted)]
    return Tagged(
        visible=tuple(key for key, _ in seen),
        hidden=tuple((k, view) for k, view in known if view.hidden and not view.legacy_deleted),
        gone=tuple((key, view) for key, view in known if view.legacy_deleted),
        lost=tuple(key for key, view in views if view is None),
        pins={key: view.version for key, view in seen},
    )
