// Requests: all of them, and one with its sources.

import { html, useState } from "./htm.js";
import { cancel, get } from "./api.js";
import { Dialog } from "./dialog.js";
import { Chip, Failure, Moment, Progress, useChanges, useRead } from "./parts.js";
import { day, num, t } from "./texts.js";

export function Requests({ query }) {
  const asked = new URLSearchParams({ limit: 50 });
  if (query.get("cursor")) asked.set("cursor", query.get("cursor"));
  const [page, error, again, set] = useRead(() => get(`requests?${asked}`), [asked.toString()]);
  useChanges(({ requests = [] }) => {
    if (!page || !requests.length) return;
    const known = new Set(page.requests.map((one) => one.request_id));
    if (requests.some((one) => !known.has(one.request_id))) return again();
    const news = new Map(requests.map((one) => [one.request_id, one]));
    set({ ...page, requests: page.requests.map((one) => news.get(one.request_id) ?? one) });
  });
  const rows = page?.requests ?? [];
  return html`<div class="head"><h1>${t("requests")}</h1></div><${Failure} error=${error} again=${again} />
  <div class="panel flush over">${!page ? !error && html`<p class="none" role="status">${t("loading")}</p>` : rows.length === 0 ? html`<p class="none">${t("requests.none")}</p>` : html`
  <table><thead><tr><th>${t("request")}</th><th>${t("state")}</th><th class="num">${t("sources")}</th><th class="wide">${t("actor")}</th><th class="wide">${t("reason")}</th><th>${t("time")}</th></tr></thead>
  <tbody>${rows.map((one) => html`<tr key=${one.request_id}><td><a class="name" href=${`#/requests/${encodeURIComponent(one.request_id)}`}>${t(`type.${one.type}`)}${one.dry_run ? ` (${t("dry")})` : ""}</a><code>${one.request_id.slice(0, 80)}</code></td>
    <td><${Chip} state=${one.state} />${one.state === "running" && html`<${Progress} progress=${one.progress} label=${t("state.running")} />`}</td><td class="num">${num(one.counts.total)}</td>
    <td class="wide">${one.actor}</td><td class="wide">${one.reason}</td><td><${Moment} ms=${one.time} /></td></tr>`)}</tbody></table>`}</div>
  <p class="right">${page?.next && html`<a class="button" href=${`#/requests?${new URLSearchParams({ cursor: page.next })}`}>${t("page.next")}</a>`}</p>`;
}

export function OneRequest({ name: id, operate }) {
  const [one, error, again] = useRead(() => get(`requests/${encodeURIComponent(id)}`), [id]);
  const [refusal, fail] = useState(null);
  const [dialog, open] = useState(null);
  useChanges(({ requests = [], sources = [] }) => {
    const parts = new Set((one?.sources ?? []).map((part) => part.source));
    if (requests.some((each) => each.request_id === id) || sources.some((each) => parts.has(each.source))) again();
  });
  if (!one) return error ? html`<${Failure} error=${error} again=${again} />` : html`<p class="none" role="status">${t("loading")}</p>`;
  const failed = one.sources.filter((part) => ["failed", "refused"].includes(part.outcome));
  return html`<div class="head"><div><small><a href="#/requests">${t("requests")}</a></small><h1>${t(`type.${one.type}`)}</h1><code>${one.request_id}</code> <${Chip} state=${one.state} /></div>
    ${operate && html`<div class="bar">${one.state === "running" && html`<button onClick=${() => cancel(id).then(again, fail)}>${t("do.cancel")}</button>`}
    ${failed.length > 0 && one.type !== "cancel" && html`<button class="primary" onClick=${() => open(true)}>${t("do.retry")}</button>`}</div>`}</div>
  <${Failure} error=${refusal ?? error} />
  ${["running", "sent"].includes(one.state) && html`<div class="banner" role="status"><div><b>${t("under_way", { done: one.counts.completed + one.counts.already, total: one.counts.total })}</b><${Progress} progress=${one.progress} label=${t("state.running")} /></div></div>`}
  <p class="soft">${t("asked", { actor: one.actor ?? "", reason: one.reason ?? "" })} <${Moment} ms=${one.time} /></p>
  <div class="panel flush over"><table><thead><tr><th>${t("name")}</th><th>${t("outcome")}</th><th>${t("available")}</th></tr></thead><tbody>
  ${one.sources.map((part) => html`<tr key=${part.source}><td><a class="name" dir="auto" href=${`#/sources/${encodeURIComponent(part.source)}`}>${part.name || part.source}</a><code>${part.source}</code></td>
    <td><span class=${`chip ${{ completed: "active", failed: "bad", refused: "bad" }[part.outcome] ?? "moving"}`}>${t(`outcome.${part.outcome}`)}</span><span class="why">${part.message}</span>${part.outcome === "progress" && html`<${Progress} progress=${part.progress} label=${part.name || part.source} />`}</td>
    <td>${part.available_until ? t("available.until", { date: day(part.available_until) }) : part.available_because ? t("available.open") : ""}</td></tr>`)}</tbody></table></div>
  ${dialog && html`<${Dialog} type=${one.type} sources=${failed} close=${() => open(null)} />`}`;
}
