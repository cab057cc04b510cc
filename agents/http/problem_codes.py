"""The codes of all problem documents: docs/reference/codes.md is made from them."""

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["CODES", "ProblemCode"]


class ProblemCode(NamedTuple):
    """HTTP status and title of a code, and when it is the answer."""

    status: int
    title: str
    when: str


CODES: Mapping[str, ProblemCode] = {
    "bad_request": ProblemCode(
        400,
        "The request is not understood",
        "a parameter is missing or not understood",
    ),
    "bad_node": ProblemCode(
        400,
        "The filter is not understood",
        "a part of a filter does not have the shape of a filter; `path` says which",
    ),
    "unknown_filter": ProblemCode(400, "No such filter", "there is no filter of that name"),
    "missing_argument": ProblemCode(
        400,
        "An argument of a filter is missing",
        "a filter lacks an argument that it needs",
    ),
    "unknown_argument": ProblemCode(
        400,
        "A filter does not take this argument",
        "a filter has an argument that it does not take",
    ),
    "bad_argument": ProblemCode(
        400,
        "An argument of a filter is not understood",
        "an argument of a filter has a value that it does not take",
    ),
    "bad_time": ProblemCode(
        400,
        "A time is not understood",
        "`before` or `after` of a filter is no moment and no period",
    ),
    "no_bound": ProblemCode(
        400,
        "A filter needs before or after",
        "a filter has neither `before` nor `after`",
    ),
    "both_bounds": ProblemCode(
        400,
        "A filter takes before or after, not both",
        "a filter that takes one of `before` and `after` has both",
    ),
    "impossible_range": ProblemCode(
        400,
        "No time lies in the range",
        "no time lies between `after` and `before`, or no number can satisfy `comparator` and `n`",
    ),
    "too_deep": ProblemCode(400, "The filter has too many levels", "a filter has too many levels"),
    "too_large": ProblemCode(
        400,
        "The filter asks too much",
        "a filter has too many nodes, or its leaves read too many sources",
    ),
    "unknown_segment": ProblemCode(
        400,
        "No such segment",
        "`in_segment` names a segment without a definition",
    ),
    "segment_cycle": ProblemCode(
        400,
        "Segments name each other in a circle",
        "the filter of a segment names the segment itself, or through others",
    ),
    "unreadable_segment": ProblemCode(
        400,
        "The segment's filter cannot be used",
        "the filter of the segment cannot be read, or has a filter that is unknown here",
    ),
    "unknown_step": ProblemCode(
        400,
        "No such step",
        "the definition of the source has no such step",
    ),
    "unknown_variation": ProblemCode(
        400,
        "No such variation",
        "the definition of the source has no such variation",
    ),
    "unknown_tag": ProblemCode(400, "No source has the tag", "no source has the tag"),
    "unauthorized": ProblemCode(
        401,
        "A key is needed",
        "no key, or an unknown key: `Authorization: Bearer KEY`",
    ),
    "forbidden": ProblemCode(
        403,
        "The key does not allow this",
        "the key does not have the required scope",
    ),
    "no_certificate": ProblemCode(
        403,
        "A client certificate is needed",
        "the worker requires certificates of its clients (`http_client_ca_file`), and the "
        "connection has none",
    ),
    "foreign_host": ProblemCode(
        403,
        "Without keys this machine alone is served",
        "without keys, the request names another host than this machine",
    ),
    "proxied": ProblemCode(
        403,
        "Without keys no proxy is served",
        "without keys, the request came through a proxy",
    ),
    "cross_site": ProblemCode(
        403,
        "Without keys no other site's page is served",
        "without keys, the request came from a page of another site",
    ),
    "not_found": ProblemCode(404, "There is nothing here", "there is nothing at this address"),
    "unknown_source": ProblemCode(
        404,
        "No such source",
        "no event and no definition names the source; `nearest` has those that may be meant",
    ),
    "unknown_user": ProblemCode(
        404,
        "No such user",
        "the user is unknown or deleted, or was merged into a user who is: then `gone` is "
        "deleted, merged_into_nobody, merged_into_deleted or merge_cycle",
    ),
    "unknown_request": ProblemCode(
        404,
        "No such request",
        "no request has this id, or it was forgotten",
    ),
    "unknown_definition": ProblemCode(
        404,
        "No such definition",
        "the catalog has nothing under this key",
    ),
    "unknown_export": ProblemCode(
        404,
        "No such export",
        "no worker has a file of this name: its time is over, or its worker has ended",
    ),
    "export_unfinished": ProblemCode(
        404,
        "The export is not there yet",
        "the file is being made; ask again after `Retry-After`",
    ),
    "method_not_allowed": ProblemCode(
        405,
        "This address takes other methods",
        "the address takes other methods",
    ),
    "not_acceptable": ProblemCode(
        406,
        "None of the formats is acceptable",
        "none of the formats offered is one that the client accepts",
    ),
    "body_timeout": ProblemCode(408, "The body takes too long", "the body did not come in time"),
    "source_hidden": ProblemCode(
        409,
        "The source's data is not available now",
        "the source's data is archived, or on its way; `restore` is the body of the call "
        "that brings it back",
    ),
    "ambiguous_source": ProblemCode(
        409,
        "Several sources may be meant",
        "a text may mean several sources, or is too short to change one; `candidates` has them "
        "with key, name and state",
    ),
    "command_refused": ProblemCode(
        409,
        "The command is refused",
        "the coordinator refuses all that was asked; `refusal` has its code, `request_id` its id",
    ),
    "key_reused": ProblemCode(
        409,
        "The Idempotency-Key was used before",
        "the `Idempotency-Key` was used for another command",
    ),
    "ambiguous_user": ProblemCode(
        409,
        "Several users are called so",
        "several users bear the identifier; `users` names them",
    ),
    "stale_cursor": ProblemCode(
        409,
        "The cursor is of another question",
        "the cursor is of another question: begin with the first page",
    ),
    "legacy_deleted": ProblemCode(
        410,
        "The source's data was deleted for good",
        "the source's data was deleted for good under the older policy",
    ),
    "export_failed": ProblemCode(
        410,
        "The export failed",
        "the file could not be made; `detail` says why: begin another export",
    ),
    "request_too_large": ProblemCode(
        413,
        "The body is too long",
        "the body is longer than what is read",
    ),
    "unsupported_media_type": ProblemCode(
        415,
        "The body has to be JSON",
        "the body has to be `application/json`",
    ),
    "too_many_requests": ProblemCode(
        429,
        "Too many requests",
        "the key asks too often, or for too much at once; ask again after `Retry-After`, or from "
        "`X-RateLimit-Reset` on",
    ),
    "internal": ProblemCode(
        500,
        "An unforeseen error",
        "an unexpected error; the worker's log has it",
    ),
    "shards_unavailable": ProblemCode(
        503,
        "Not all shards are there",
        "not all shards are there; ask again after `Retry-After`",
    ),
    "control_unavailable": ProblemCode(
        503,
        "The command is not acknowledged",
        "Kafka does not acknowledge the command: send it again with the same `Idempotency-Key`",
    ),
    "busy": ProblemCode(
        503,
        "The worker has as much to do as it takes",
        "the worker has as much work under way as its memory allows; ask again after `Retry-After`",
    ),
    "keys_lost": ProblemCode(
        503,
        "The keys file cannot be read",
        "the keys file has been missing or unreadable for a minute: no key is known",
    ),
    "not_ready": ProblemCode(
        503,
        "The worker is not ready",
        "the worker has not recovered all it holds",
    ),
    "time_limit": ProblemCode(
        503,
        "The answer takes too long",
        "the answer takes too long to make",
    ),
}
"""Status, title and reason by code, in the order of the statuses: the whole list."""
