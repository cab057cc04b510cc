// What expired sources hide of a user, and the way to get it back.

import { html, useState } from "./htm.js";
import { Name } from "./named.js";
import { Chip } from "./parts.js";
import { t } from "./texts.js";

/** A hidden source in another state was deleted under the older policy: nothing brings it back. */
const MOVING = ["EXPIRED", "EXPIRING", "RESTORING"];
const FIRST = 5;

const place = (source) => `#/sources/${encodeURIComponent(source)}`;

/** `rows`: interactions of the user that it hides, null if only a restore can tell. */
function One({ one, rows, operate, restore }) {
  const gone = !MOVING.includes(one.state);
  return html`<li>
    <span><a class="more" href=${place(one.source)}><${Name} text=${one.name || one.source} /></a>
      ${one.state && html` <${Chip} state=${one.state} />`}
      ${rows !== null && html` <small>${t("users.hidden.rows", { count: rows })}</small>`}
      ${gone && html`<small class="why">${t("why.deleted")}</small>`}</span>
    ${operate && one.state === "EXPIRED" && html`<button type="button" onClick=${() => restore([one])}>
      ${t("do.restore")}</button>`}</li>`;
}

/** `restore` gets the sources to restore. */
export function Hidden({ user, operate, restore }) {
  const [open, show] = useState(false);
  const { sources, unchecked, archived } = user.excluded_expired;
  if (!sources.length && !unchecked.count) return null;
  const shown = open ? archived : archived.slice(0, FIRST);
  const more = unchecked.count - shown.length;
  const item = (one, rows) => html`<${One} key=${one.source} one=${one} rows=${rows} operate=${operate} restore=${restore} />`;
  return html`<section class="banner hidden" aria-label=${t("users.hidden")}>
    <div class="grow"><b>${t("users.hidden")}</b>
      ${sources.length > 0 && html`<p>${t("users.hidden.about", { count: sources.length })}</p>
      <ul class="plain">${sources.map((one) => item(one, one.interactions))}</ul>`}
      ${unchecked.count > 0 && html`<p>${t("users.unchecked", { count: unchecked.count })}</p>
      <ul class="plain">${shown.map((one) => item(one, null))}</ul>`}
      ${more > 0 && (open ? html`<p class="soft">${t("users.unchecked.more", { count: more })}</p>`
        : html`<button type="button" class="link" onClick=${() => show(true)}>${t("users.unchecked.more", { count: more })}</button>`)}
    </div>
  </section>`;
}
