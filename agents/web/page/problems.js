// What a worker's refusal of a call means, in the reader's language.

import { t } from "./texts.js";

/** Codes of problems that have a sentence; those of filters stand at their conditions. */
const CODES = [
  "ambiguous_source", "ambiguous_user", "bad_request", "busy", "command_refused", "control_unavailable",
  "cross_site", "internal", "key_reused", "keys_lost", "legacy_deleted", "not_found", "not_ready",
  "request_too_large", "shards_unavailable", "source_hidden", "stale_cursor", "time_limit", "too_many_requests",
  "unauthorized", "unknown_definition", "unknown_request", "unknown_source", "unknown_user",
];

/** `error`: a Refused, or an error of the page itself. */
export function problem({ code, status }) {
  if (code === "offline") return t("offline");
  if (code === "late") return t("late");
  if (code === "forbidden") return t("forbidden");
  if (CODES.includes(code)) return t(`problem.${code}`);
  return t(status >= 400 && status < 500 ? "problem.bad_request" : "problem.internal");
}

/** The worker's own words, which may say more; "" where the sentence says it all. */
export const words = ({ code, message }) => (["offline", "late", "unauthorized"].includes(code) ? "" : message);
