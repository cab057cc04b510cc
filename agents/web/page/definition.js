// What the catalog says about a source: readable facts, and the raw JSON on demand.

import { html, useState } from "./htm.js";
import { Name, isolated, kindOf, short } from "./named.js";
import { Failure, Moment } from "./parts.js";
import { Same } from "./same.js";
import { t } from "./texts.js";

const STATUSES = ["DRAFT", "ACTIVE", "STOPPED", "ARCHIVED"];
/** Steps, variations or references that are shown at once. */
const MOST = 10;

function Parts({ label, parts }) {
  const [all, show] = useState(false);
  if (!parts.length) return null;
  return html`<dt>${label}</dt><dd><ol class="plain">${(all ? parts : parts.slice(0, MOST)).map(({ id, name }) => html`<li key=${id}>
    <${Name} text=${name || id} /> ${name && html`<code>${short(id, 40)}</code>`}</li>`)}</ol>
    ${parts.length > MOST && !all && html`<button onClick=${() => show(true)}>${t("source.all", { count: parts.length })}</button>`}</dd>`;
}

/** JSON with indents; what is none as it is. */
function spread(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

const missing = (error) => error?.code === "unknown_definition";

/** `found`: as GET /definitions/KEY, or null; `error`: why there is none. */
export function Definition({ source, found, error, again }) {
  const [raw, show] = useState(false);
  const references = (found?.references ?? []).map((key) => ({ id: key, name: `${kindOf(key)} ${isolated(key.split(":").slice(1).join(":"))}` }));
  const path = `definitions/${encodeURIComponent(source)}`;
  return html`<section class="panel" aria-labelledby="definition">
    <h2 id="definition">${t("source.definition")}</h2>
    ${missing(error) ? html`<p class="soft">${t("source.definition.none")}</p>` : html`<${Failure} error=${error} again=${again} />`}
    ${!found && !error && html`<p class="soft" role="status">${t("loading")}</p>`}
    ${found && html`
      ${found.unreadable && html`<div class="notice" role="note"><b>${t("source.definition.unreadable")}</b>
        <p>${t("source.definition.kept")}</p><code lang="en"><bdi>${short(found.unreadable, 400)}</bdi></code></div>`}
      <dl>
        ${found.status && html`<dt>${t("source.status")}</dt>
          <dd>${STATUSES.includes(found.status) ? t(`source.status.${found.status}`) : found.status}</dd>`}
        ${found.stopped_at && html`<dt>${t("source.stopped_at")}</dt><dd><${Moment} ms=${found.stopped_at} /></dd>`}
        ${found.updated_at && html`<dt>${t("source.updated_at")}</dt><dd><${Moment} ms=${found.updated_at} /></dd>`}
        <${Parts} label=${t("source.variations")} parts=${found.variations} />
        <${Parts} label=${t("source.steps")} parts=${found.steps} />
        <${Parts} label=${t("source.references")} parts=${references} />
      </dl>
      ${found.filters && html`<details><summary>${t("source.filters")}</summary><pre tabindex="0">${spread(found.filters)}</pre></details>`}
      <details open=${raw} onToggle=${(event) => show(event.target.open)}><summary>${t("source.raw")}</summary>
        ${raw && html`<pre tabindex="0">${JSON.stringify(found, null, 2)}</pre>`}</details>`}
    <${Same} paths=${[path]} />
  </section>`;
}
