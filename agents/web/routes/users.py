"""The list of the routes about users."""

from agents.http.admission import WorkKind
from agents.http.keys import Scope
from agents.http.route import SOURCE, Route, path, query
from agents.web.routes.export_archive import FILES
from agents.web.routes.export_file import FILE_NAME, export_file
from agents.web.routes.export_ids import export_ids
from agents.web.routes.export_segment import export_segment
from agents.web.routes.user import BY, FLAGS, one_user
from agents.web.routes.users_csv import users_csv
from agents.web.user_shapes import (
    ARCHIVE,
    ARCHIVE_STATE,
    EXPORTED,
    IDS_REQUEST,
    PROFILE,
    SEGMENT_REQUEST,
)

__all__ = ["ROUTES"]

ROUTES = (
    Route(
        method="GET",
        path="/users/{id}",
        handler=one_user,
        summary="A user's profile: what they received and did, and what expired sources hide",
        scope=Scope.EXPORT,
        parameters=(
            path("id", "A user id, else an external id, else an alias"),
            query("by", "Which of them it is", enum=list(BY)),
            query("label", "The alias's label: name and label identify together"),
            query(
                "through_archive",
                "Also reads what expired sources have of the user, in the archive and without a "
                "restore: takes as long as reading all archived data of the user's shard",
                enum=list(FLAGS),
                default="false",
            ),
        ),
        answers={"application/json": PROFILE},
        problems=("bad_request", "unknown_user", "ambiguous_user", "shards_unavailable"),
    ),
    Route(
        method="POST",
        path="/users/export/ids",
        handler=export_ids,
        summary="Up to 50 users by identifier, in the shape of Braze's export",
        scope=Scope.EXPORT,
        body=IDS_REQUEST,
        answers={"application/json": EXPORTED},
        problems=("bad_request", "ambiguous_user", "request_too_large", "shards_unavailable"),
    ),
    Route(
        method="POST",
        path="/users/export/segment",
        handler=export_segment,
        summary="All users of a segment, an export object a line, streamed; or as a file",
        scope=Scope.EXPORT,
        note=" The answer is a stream, unless the body has `callback_endpoint` or `output_format`, "
        "or `Accept` names JSON: then a ZIP file is made, which `url` has.",
        work=None,
        body=SEGMENT_REQUEST,
        answers={"application/x-ndjson": {"type": "string"}, "application/json": ARCHIVE},
        problems=(
            *("bad_request", "unknown_segment", "segment_cycle", "unreadable_segment"),
            *("unknown_source", "source_hidden", "legacy_deleted", "request_too_large"),
            "shards_unavailable",
        ),
    ),
    Route(
        method="GET",
        path=f"{FILES}/{{file}}",
        handler=export_file,
        summary="The file of an export of a segment, or what is known of it",
        scope=Scope.EXPORT,
        work=None,
        parameters=(
            path(
                "file",
                "`object_prefix` of the export with `.zip`: the file; without: its state",
                pattern=FILE_NAME,
            ),
        ),
        answers={"application/zip": {"type": "string"}, "application/json": ARCHIVE_STATE},
        problems=(
            *("bad_request", "unknown_export", "export_unfinished", "export_failed"),
            "shards_unavailable",
        ),
    ),
    Route(
        method="GET",
        path="/sources/{source}/users.csv",
        handler=users_csv,
        summary="User Data of everyone whom a source reached, as CSV, streamed",
        scope=Scope.EXPORT,
        work=WorkKind.ROWS,
        parameters=(SOURCE,),
        answers={"text/csv": {"type": "string"}},
        problems=(
            *("bad_request", "unknown_source", "source_hidden", "legacy_deleted"),
            "shards_unavailable",
        ),
    ),
)
