// Where a user is: the address of their view, and the same question on a command line.

import { quoted } from "./api.js";

/** `by`: any, user, external or alias; a label belongs to an alias. */
export function address(id, by, label = "") {
  const more = new URLSearchParams();
  if (by !== "any") more.set("by", by);
  if (by === "alias" && label) more.set("label", label);
  return `#/users/${encodeURIComponent(id)}${more.size ? `?${more}` : ""}`;
}

export function same(id, by, label) {
  // an id may begin like an option
  const way = by ? ` --by ${quoted(by)}` : "";
  const under = label ? ` --label ${quoted(label)}` : "";
  return `emberline profile${way}${under} -- ${quoted(id)}`;
}
