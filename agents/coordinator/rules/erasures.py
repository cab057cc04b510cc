"""Requests that erase users: what is asked of the shards, and the receipt of what they report.

Users reach these rules as sealed texts (`schemas.tables.erased.ErasureKey.sealed`), which name the
shard of the user and tell nothing else. Every shard is asked, because users of any shard may have
been merged into the erased ones. A request is over once every shard has removed all that is left.
"""

from dataclasses import replace

from agents.coordinator.rules import requests
from agents.coordinator.rules.decision import DecisionBuilder
from agents.coordinator.rules.state import Erasure, ErasurePart, Request, RequestResult
from schemas.records.lifecycle import Command, ErasureItem, Outcome
from schemas.words.plural import counted, numbered

__all__ = ["MOST_OPEN", "begin", "fault", "summary", "worked"]

MOST_OPEN = 100_000
"""Users of all requests that are under way: every worker keeps them in memory."""


def fault(builder: DecisionBuilder, command: Command) -> str | None:
    """Why a command cannot be accepted, or None."""
    if command.sources or command.tag is not None:
        return "erase takes users, and neither sources nor a tag"
    if not command.users:
        return "no user is named"
    partitions = builder.policy.partitions
    if any(_shard(user, partitions) is None for user in command.users):
        return (
            f"its users were not sealed for {partitions} shards: the sender needs the setting "
            f"partitions={partitions}"
        )
    under_way = sum(one.users for one in builder.erasures.values() if one.orders)
    if under_way + len(command.users) > MOST_OPEN:
        return f"{under_way} users are being erased, at most {MOST_OPEN} can be: ask again later"
    return None


def begin(builder: DecisionBuilder, request: Request, command: Command) -> None:
    """Accept a command whose users are sealed: ask their shards to erase them."""
    orders: dict[int, list[str]] = {shard: [] for shard in range(builder.policy.partitions)}
    for user in command.users:
        shard = _shard(user, builder.policy.partitions)
        if shard is not None:
            orders[shard].append(user)
    count = counted(len(command.users), "user")
    theirs = [shard for shard, users in orders.items() if users]
    what = f"{count} of {numbered('shard', theirs[:10])}"
    if command.dry_run:
        message = f"dry run: {what} would be erased for ever: from hot data and from the archive"
        result = RequestResult(Outcome.COMPLETED, None, message)
        requests.tell_whole(builder, request, result)
        return
    accepted = RequestResult(Outcome.ACCEPTED, None, f"{what}: they will be erased")
    requests.tell_whole(builder, request, accepted)
    erasure = Erasure(
        builder.now,
        len(command.users),
        {shard: tuple(users) for shard, users in orders.items()},
        {shard: ErasurePart() for shard in orders},
    )
    builder.put_erasure(request.request_id, erasure)
    builder.audit(
        None,
        "erase",
        by=command.who,
        reason=command.reason,
        detail=f"{count} erased",
        request_id=request.request_id,
    )


def worked(builder: DecisionBuilder, partition: int, item: ErasureItem) -> None:
    """Process how far a shard is. A stale or repeated report changes nothing."""
    erasure = builder.erasures.get(item.request_id)
    if erasure is None or partition not in erasure.orders:
        return
    former = erasure.parts[partition]
    part = _part(former, item, builder.now)
    if part == former:
        return
    erasure = replace(erasure, parts={**erasure.parts, partition: part})
    over = all(one.done for one in erasure.parts.values())
    builder.put_erasure(item.request_id, replace(erasure, orders={}) if over else erasure)
    request = builder.requests.get(item.request_id)
    if request is None:
        return
    done = sum(one.done for one in erasure.parts.values())
    outcome = Outcome.COMPLETED if over else Outcome.PROGRESS
    total = len(erasure.parts)
    result = RequestResult(outcome, None, summary(erasure), done, total)
    if over or request.whole is None or request.whole.message != result.message:
        requests.tell_whole(builder, request, result)


def summary(erasure: Erasure) -> str:
    """How far an erasure is, in one sentence."""
    parts = erasure.parts.values()
    if not all(part.masked_at for part in parts):
        hidden = sum(bool(part.masked_at) for part in parts)
        return f"hidden in {hidden} of {counted(len(parts), 'shard')}"
    rows = sum(part.rows for part in parts)
    said = "hidden in every answer"
    said += f"; {counted(rows, 'row')} removed from hot data"
    said += "" if all(part.hot_at for part in parts) else " so far"
    archived = sum(part.archived for part in parts)
    said += f", {archived:,} from the archive"
    if merges := sum(part.merges for part in parts):
        said += f", {counted(merges, 'merge')} of other users"
    if all(part.archive_at for part in parts):
        if not all(part.apart_at for part in parts):
            return said + "; merges of other users into them are still looked for"
        deleted = all(part.deleted_at for part in parts)
        return said + ("" if deleted else ", whose former copies are still to be deleted")
    held = sorted({source for part in parts for source in part.held})
    if held and all(part.hot_at or part.held for part in parts):
        return said + f"; {', '.join(held[:3])} and what else is held keeps its rows"
    return said + " so far"


def _shard(user: str, partitions: int) -> int | None:
    """The shard in the sealed text of a user; None if it was not sealed for so many shards."""
    _, _, rest = user.partition(":")
    shard, _, of = rest.partition(":")[0].partition("/")
    if not (shard.isdecimal() and of == str(partitions)):
        return None
    found = int(shard)
    return found if found < partitions else None


def _part(former: ErasurePart, item: ErasureItem, now: int) -> ErasurePart:
    return ErasurePart(
        masked_at=former.masked_at or now,
        rows=max(former.rows, item.rows),
        hot_at=former.hot_at or (now if item.hot else 0),
        archived=max(former.archived, item.archived),
        left=item.left,
        archive_at=former.archive_at or (now if item.archive else 0),
        deleted_at=former.deleted_at or (now if item.deleted else 0),
        held=item.held,
        merges=max(former.merges, item.merges),
        apart_at=former.apart_at or (now if item.apart else 0),
    )
