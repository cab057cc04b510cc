// One source: the banner with the restore, why it stands so, its facts.

import { html, useState } from "./htm.js";
import { get } from "./api.js";
import { Dialog } from "./dialog.js";
import { Chip, Failure, Moment, Progress, interactions, reasons, useChanges, useRead } from "./parts.js";
import { day, num, size, t } from "./texts.js";

export function Source({ name, operate }) {
  const [one, error, again, set] = useRead(() => get(`sources/${encodeURIComponent(name)}`), [name]);
  const [dialog, open] = useState(null);
  useChanges(({ sources = [] }) => {
    const news = sources.find((each) => each.source === one?.source);
    if (!news) return;
    set({ ...one, ...news });
    if (news.state !== one.state) again();
  });
  if (!one) return error ? html`<${Failure} error=${error} again=${again} />` : html`<p class="none" role="status">${t("loading")}</p>`;
  const can = one.state === "EXPIRED" && !one.legacy_deleted;
  const fact = (label, value) => html`<dt>${label}</dt><dd>${value}</dd>`;
  return html`<div class="head"><div><small><a href="#/sources">${t("sources")}</a> / ${t(`kind.${one.kind}`)}</small>
    <h1 dir="auto">${one.name || one.source}</h1><code>${one.source}</code> ${(one.tags ?? []).map((tag) => html`<a class="tag" dir="auto" href=${`#/sources?${new URLSearchParams({ tag })}`}>${tag}</a>`)}</div>
    ${operate && html`<div class="bar">${one.held ? html`<button onClick=${() => open("unhold")}>${t("do.unhold")}</button>` : html`<button onClick=${() => open("hold")}>${t("do.hold")}</button>`}
    ${one.visible && html`<button onClick=${() => open("expire")}>${t("do.expire")}</button>`}</div>`}</div>
  <${Failure} error=${error} again=${again} />
  ${can && html`<div class="banner" role="region" aria-label=${t("state.EXPIRED")}><div><b>${t("banner", { date: day(one.expired_at) })}</b><br /><span class="soft">${t("banner.about", { count: one.sizes ? one.sizes.archived_rows : t("unknown"), size: one.sizes ? size(one.sizes.archived_bytes) : t("unknown") })}</span></div>
    ${operate ? html`<button class="primary" onClick=${() => open("restore")}>${t("do.restore")}</button>` : html`<span>${t("forbidden")}</span>`}</div>`}
  ${one.state === "RESTORING" && html`<div class="banner" role="status"><div><b>${t("banner.restoring")}</b><${Progress} progress=${one.progress} label=${t("banner.restoring")} /></div></div>`}
  ${one.legacy_deleted && html`<div class="notice">${t("why.deleted")}</div>`}
  ${one.state === "EXPIRING" && html`<div class="notice">${t("banner.expiring")}</div>`}
  <div class="grid cols"><section class="panel"><h2>${t("facts")}</h2><dl>
    ${fact(t("state"), html`<${Chip} state=${one.state} />`)}
    ${one.visible && fact(t("available"), one.due_at ? t("available.until", { date: day(one.due_at) }) : t("available.open"))}
    ${one.due_at && fact(t("due"), html`<${Moment} ms=${one.due_at} />`)}
    ${one.sizes && fact(t("interactions"), num(interactions(one)))}
    ${one.sizes && fact(t("hot"), size(one.sizes.bytes))}
    ${one.sizes && fact(t("archive"), size(one.sizes.archived_bytes))}
  </dl></section>
  <section class="panel"><h2>${t("why")}</h2><ul class="line">${reasons(one).map((why) => html`<li class="hot">${why}</li>`)}</ul></section></div>
  ${dialog && html`<${Dialog} type=${dialog} sources=${[one]} close=${() => open(null)} />`}`;
}
