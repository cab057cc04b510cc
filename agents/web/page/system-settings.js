// All settings of the worker that answers, with where each value came from.

import { html, useState } from "./htm.js";
import { get } from "./api.js";
import { Failure, useRead } from "./parts.js";
import { Same } from "./same.js";
import { t } from "./texts.js";

export function Settings() {
  const [found, error, again] = useRead(() => get("settings"), []);
  const [text, search] = useState("");
  const [set, only] = useState(false);
  const wanted = text.trim().toLowerCase();
  const takes = (one) => [one.name, one.value, one.origin, one.doc].some((part) => part.toLowerCase().includes(wanted));
  const rows = (found?.settings ?? []).filter((one) => takes(one) && (!set || one.origin !== "default"));
  return html`<div class="head"><div><small><a href="#/system">${t("system")}</a></small><h1>${t("system.settings")}</h1>
    <span class="soft">${t("system.settings.about")}</span></div></div>
  <${Failure} error=${error} again=${again} />
  <div class="bar" role="search">
    <input type="search" aria-label=${t("system.settings.search")} placeholder=${t("system.settings.search")} value=${text}
      onInput=${(event) => search(event.target.value)} />
    <label><input type="checkbox" checked=${set} onChange=${(event) => only(event.target.checked)} /> ${t("system.settings.set")}</label>
    <small role="status">${found && t("system.settings.count", { count: rows.length })}</small>
  </div>
  ${!found && !error && html`<p class="none" role="status">${t("loading")}</p>`}
  ${found && html`<div class="panel flush over" tabindex="0">
    ${rows.length === 0 ? html`<p class="none">${t("system.settings.none")}</p>` : html`<table>
    <thead><tr><th>${t("system.setting")}</th><th>${t("system.value")}</th><th>${t("system.origin")}</th></tr></thead>
    <tbody>${rows.map((one) => html`<tr key=${one.name} class="setting"><td><b>${one.name}</b>
        <span class="why" lang="en">${one.doc}</span></td>
      <td>${one.value === "" ? html`<span class="faint">${t("system.empty")}</span>` : html`<code>${one.value}</code>`}</td>
      <td>${one.origin === "default" ? html`<span class="faint">${t("system.default")}</span>` : html`<code>${one.origin}</code>`}</td></tr>`)}</tbody>
    </table>`}</div>
  <${Same} commands=${["emberline settings"]} paths=${["settings"]} />`}`;
}
