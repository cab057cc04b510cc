"""The error of a record that cannot be read."""

from schemas.errors import EmberlineError

__all__ = ["MEANINGS", "REMEDIES", "Undecodable"]

MEANINGS = {
    "undecodable": "the bytes are no record of this topic",
    "unknown_schema": "no schema has the id in the record's frame",
    "protobuf": "the schema registry has a Protobuf schema for the id in the record's frame",
    "bad_json": "not JSON; or a field has another type, belongs to the record of "
    "another topic, or, in definitions and commands, is misspelt",
    "missing_field": "a field that is needed is missing or empty; an id, an alias or "
    "`merged_into` of a user is an empty text",
    "two_sources": "`campaign_id` and `canvas_id` are both set",
    "too_long": "a field that is kept is longer than the setting `max_field_bytes`",
    "too_large": "the record, or its content once it is read, is larger than the limit",
    "bad_time": "a time before 2000-01-01, which is a sign of seconds, or too far "
    "ahead: more than a day after the record reached the broker, in a definition after "
    "2099",
    "bad_key": "the key of a user's record names another user than `user_id`, or that "
    "of a deletion no user",
    "bad_merge": "`merged_into` of a user is that user",
    "unmapped": "the topic's mapping does not fit the record's schema, or says nothing of a value",
}
"""What each code means, in the order of the reference."""

REMEDIES = {
    "undecodable": "Write Avro in Confluent framing, or a JSON object",
    "unknown_schema": "Write with an id of schemas/registry.json or of the schema registry",
    "protobuf": "Write Avro or JSON: emberline does not read Protobuf",
    "bad_json": "Write the fields of the record's schema with its types, times in milliseconds",
    "missing_field": "Write every field that has no default; null, and no empty text, for none",
    "two_sources": "Write one of them, or none",
    "too_long": "Write shorter fields, or raise the setting max_field_bytes",
    "too_large": "Write smaller records",
    "bad_time": "Write times in milliseconds since 1970, UTC: are these seconds?",
    "bad_key": "Write the record's user_id as its key, as text or as the schema `string`",
    "bad_merge": "Write the user_id of another user, or null",
    "unmapped": "Correct the file of the setting mappings_file, start the workers anew, then "
    "emberline rejected replay",
}
"""What to do, by code."""


class Undecodable(EmberlineError):
    """A record that can never be read: it goes to `rejected`.

    `code` is one of the codes with a remedy here; `detail` names the field, if there is one, as a
    path from the record's root.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}", remedy=REMEDIES[code])
        self.code = code
        self.detail = detail

    def __reduce__(self) -> tuple[type["Undecodable"], tuple[str, str]]:
        """Needed because a worker process pickles errors by their arguments."""
        return type(self), (self.code, self.detail)
