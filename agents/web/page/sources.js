// The list of sources: search, filters, pages, selection.

import { html, useState } from "./htm.js";
import { get } from "./api.js";
import { Dialog } from "./dialog.js";
import { Chip, Failure, Progress, STATES, interactions, reasons, useChanges, useRead } from "./parts.js";
import { num, size, t } from "./texts.js";

const ACTIONS = ["restore", "hold", "unhold", "expire"];
const FILTERS = ["name", "kind", "state", "tag", "cursor"];

export function Sources({ query, operate }) {
  const asked = new URLSearchParams({ limit: 50 });
  for (const name of FILTERS) if (query.get(name)) asked.set(name, query.get(name));
  const [page, error, again, set] = useRead(() => get(`sources?${asked}`), [asked.toString()]);
  const [chosen, choose] = useState(new Map());
  const [dialog, open] = useState(null);
  useChanges(({ sources = [] }) => {
    if (!page || !sources.length) return;
    const news = new Map(sources.map((one) => [one.source, one]));
    set({ ...page, sources: page.sources.map((one) => ({ ...one, ...news.get(one.source) })) });
  });
  const show = (changes) => {
    const next = new URLSearchParams(query);
    next.delete("cursor");
    for (const [name, value] of Object.entries(changes)) value ? next.set(name, value) : next.delete(name);
    location.hash = `#/sources?${next}`;
  };
  const turn = (source) => {
    const next = new Map(chosen);
    if (!next.delete(source.source)) next.set(source.source, source);
    choose(next);
  };
  const rows = page?.sources ?? [];
  const all = rows.length > 0 && rows.every((one) => chosen.has(one.source));
  const turnAll = () => choose(new Map(all ? [] : [...chosen, ...rows.map((one) => [one.source, one])]));
  const picked = [...chosen.values()];
  const weight = picked.reduce((sum, one) => sum + (one.sizes ? interactions(one) : 0), 0);
  const option = (value, text, name) => html`<option value=${value} selected=${(query.get(name) ?? "") === value}>${text}</option>`;
  return html`<div class="head"><div><h1>${t("sources")}</h1><span class="soft">${t("sources.about")}</span></div></div>
  <${Failure} error=${error} again=${again} />
  <div class="bar" role="search">
    <input type="search" aria-label=${t("search")} placeholder=${t("search")} value=${query.get("name") ?? ""} onChange=${(event) => show({ name: event.target.value })} />
    <input aria-label=${t("tag")} placeholder=${t("tag")} value=${query.get("tag") ?? ""} onChange=${(event) => show({ tag: event.target.value })} />
    <select aria-label=${t("kind")} onChange=${(event) => show({ kind: event.target.value })}>${option("", t("kind.all"), "kind")}${["campaign", "canvas"].map((kind) => option(kind, t(`kind.${kind}`), "kind"))}</select>
    <select aria-label=${t("state")} onChange=${(event) => show({ state: event.target.value })}>${option("", t("state.all"), "state")}${STATES.map((state) => option(state, t(`state.${state}`), "state"))}</select>
    <small role="status">${page && t("sources.count", { count: page.total })}</small>
  </div>
  <div class="panel flush over">${!page ? !error && html`<p class="none" role="status">${t("loading")}</p>` : rows.length === 0 ? html`<p class="none">${t("sources.none")}</p>` : html`
  <table><thead><tr>${operate && html`<th><input type="checkbox" aria-label=${t("select.page")} checked=${all} onChange=${turnAll} /></th>`}
    <th>${t("name")}</th><th>${t("state")}</th><th class="num">${t("interactions")}</th><th class="num wide">${t("hot")}</th><th class="num wide">${t("archive")}</th><th class="wide">${t("tags")}</th></tr></thead>
  <tbody>${rows.map((one) => html`<tr key=${one.source} class=${chosen.has(one.source) ? "on" : ""}>
    ${operate && html`<td><input type="checkbox" aria-label=${t("select.one", { name: one.name || one.source })} checked=${chosen.has(one.source)} onChange=${() => turn(one)} /></td>`}
    <td><a class="name" dir="auto" href=${`#/sources/${encodeURIComponent(one.source)}`}>${(one.name || one.source).slice(0, 200)}</a><code>${one.source.slice(0, 80)}</code></td>
    <td><${Chip} state=${one.state} />${reasons(one).slice(0, 2).map((why) => html`<span class="why">${why}</span>`)}
      ${["RESTORING", "EXPIRING"].includes(one.state) && html`<${Progress} progress=${one.progress} label=${t(`state.${one.state}`)} />`}</td>
    <td class="num">${one.sizes ? num(interactions(one)) : t("unknown")}</td>
    <td class="num wide">${one.sizes ? size(one.sizes.bytes) : t("unknown")}</td>
    <td class="num wide">${one.sizes ? size(one.sizes.archived_bytes) : t("unknown")}</td>
    <td class="wide">${(one.tags ?? []).slice(0, 5).map((tag) => html`<a class="tag" dir="auto" href=${`#/sources?${new URLSearchParams({ tag })}`}>${tag.slice(0, 40)}</a>`)}</td></tr>`)}</tbody></table>`}</div>
  <p class="right">${query.get("cursor") && html`<button onClick=${() => history.back()}>${t("page.before")}</button>`}
    ${page?.next && html`<button onClick=${() => show({ cursor: page.next })}>${t("page.next")}</button>`}</p>
  ${picked.length > 0 && html`<div class="actions" role="region" aria-label=${t("selection")}><b>${t("selected", { count: picked.length })}</b>
    <span>${t("selected.sum", { count: weight })}</span><span class="push"></span>
    ${ACTIONS.map((type) => html`<button class=${type === "restore" ? "primary" : ""} onClick=${() => open(type)}>${t(`do.${type}`)}</button>`)}
    <button onClick=${() => choose(new Map())}>${t("clear")}</button></div>`}
  ${dialog && html`<${Dialog} type=${dialog} sources=${picked} close=${() => open(null)} />`}`;
}
