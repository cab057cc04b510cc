// Pages of a list: the address has the cursor of the page, and those of the pages before it.

import { html } from "./htm.js";
import { t } from "./texts.js";

const MOST = 50;
/** The first page has no cursor. */
const FIRST = "-";

/** The address of a list with other filters: it begins at the first page. */
export function filtered(path, query, changes) {
  const next = new URLSearchParams(query);
  for (const name of ["cursor", "back"]) next.delete(name);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    for (const one of [value].flat()) if (one) next.append(name, one);
  }
  return `${path}?${next}`;
}

function turned(path, query, cursor, back) {
  const next = new URLSearchParams(query);
  next.delete("cursor");
  next.delete("back");
  if (cursor !== FIRST) next.set("cursor", cursor);
  for (const one of back.slice(-MOST)) next.append("back", one);
  return `${path}?${next}`;
}

/** Links to the page before and to the page after. `next`: the cursor of that one, if there is one. */
export function Pages({ path, query, next }) {
  const back = query.getAll("back");
  const now = query.get("cursor") ?? FIRST;
  // whoever came by a link to a later page goes to the first one
  const before = now === FIRST ? null : turned(path, query, back.at(-1) ?? FIRST, back.slice(0, -1));
  const after = next && turned(path, query, next, [...back, now]);
  if (!before && !after) return null;
  return html`<nav class="right pages" aria-label=${t("pages")}>
    ${before && html`<a class="button" href=${before}>${t("page.before")}</a>`}
    ${after && html`<a class="button" href=${after}>${t("page.next")}</a>`}</nav>`;
}
