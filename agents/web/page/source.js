// One source: what happened to its data and what can be done, its figures, its uses, its definition.

import { html, useEffect, useState } from "./htm.js";
import { get } from "./api.js";
import { Analytics } from "./analytics.js";
import { Banner, obstacle } from "./banner.js";
import { Definition } from "./definition.js";
import { Dialog } from "./dialog.js";
import { Download } from "./download.js";
import { Name, short } from "./named.js";
import { Chip, Failure, Moment, holding, interactions, may, useChanges, useRead } from "./parts.js";
import { Timeline } from "./timeline.js";
import { Uses, pathOf } from "./uses.js";
import { due, num, size, t } from "./texts.js";

const WORKING = ["EXPIRING", "RESTORING"];

function Head({ one, operate, open }) {
  const tag = (text) => html`<a key=${text} class="tag" dir="auto" href=${`#/sources?${new URLSearchParams({ tag: text })}`}>
    ${short(text, 60)}</a>`;
  const hold = one.held ? "unhold" : "hold";
  return html`<div class="head">
    <div>
      <small><a href="#/sources">${t("sources")}</a>${" / "}${t(`kind.${one.kind}`)}</small>
      <h1><${Name} text=${one.name || one.source} /></h1>
      <code><${Name} text=${one.source} /></code> ${one.tags.map(tag)}
    </div>
    <div class="bar">
      ${operate && !one.legacy_deleted && html`<button onClick=${() => open(hold)}>${t(`do.${hold}`)}</button>`}
      ${operate && one.state === "STOPPED" && html`<button onClick=${() => open("expire")}>${t("do.expire")}</button>`}
      <button onClick=${() => open("csv")}>${t("source.csv")}</button>
    </div>
  </div>`;
}

function Facts({ one }) {
  const fact = (label, value) => html`<dt>${label}</dt><dd>${value}</dd>`;
  const until = one.due_at ? t("available.until", { date: due(one.due_at) }) : t("available.open");
  const moment = (label, ms) => ms && fact(label, html`<${Moment} ms=${ms} />`);
  return html`<section class="panel" aria-labelledby="facts"><h2 id="facts">${t("facts")}</h2><dl>
    ${fact(t("state"), html`<${Chip} state=${one.state} />`)}
    ${one.visible && fact(t("available"), until)}
    ${moment(t("due"), one.due_at)}
    ${moment(t("source.stopped_at"), one.stopped_at)}
    ${moment(t("source.expired_at"), one.expired_at)}
    ${moment(t("source.restored_at"), one.restored_at)}
    ${one.sizes && fact(t("interactions"), num(interactions(one)))}
    ${one.sizes && fact(t("hot"), size(one.sizes.bytes))}
    ${one.sizes && fact(t("archive"), size(one.sizes.archived_bytes))}
    ${!one.sizes && fact(t("interactions"), t("source.sizes.none"))}
  </dl></section>`;
}

/** The reason of the state that is not a use: uses are drawn. */
function reason(one) {
  if (one.legacy_deleted) return t("why.deleted");
  if (one.held) return holding(one.held, 400);
  if (one.exempt_by.length) return t(one.visible ? "source.used" : "source.used_hidden", { count: one.exempt_by.length });
  if (one.due_at) return t("source.unused", { date: due(one.due_at) });
  if (one.state === "UNKNOWN") return t("why.unknown");
  if (one.state === "ACTIVE") return t("why.active");
  return t("source.unused.none");
}

/** A name that no source has, or that may mean several. */
function Missing({ name, error }) {
  const several = error.document.candidates ?? [];
  const near = error.document.nearest ?? [];
  const keys = [...several.map((one) => one.key ?? one.source), ...near].filter((key) => typeof key === "string");
  return html`<div class="panel none" role="alert"><h1>${t(several.length ? "source.several" : "source.missing")}</h1>
    <p><${Name} text=${name} /></p>
    ${keys.length > 0 && html`<p>${t("source.meant")}</p><ul class="plain">${keys.map((key) => html`<li key=${key}>
      <a class="more" href=${`#/sources/${encodeURIComponent(key)}`}>${short(key)}</a></li>`)}</ul>`}
    <p><a class="button" href="#/sources">${t("sources")}</a></p></div>`;
}

/** What may be asked about a source beside it, again whenever its state may have changed. */
function useBeside(path, version) {
  const [found, error, again] = useRead(() => get(path), [path]);
  useEffect(() => {
    if (version !== undefined && found) again();
  }, [version]);
  return [found, error, again];
}

export function Source({ name, operate, who }) {
  const [one, error, again, set] = useRead(() => get(`sources/${encodeURIComponent(name)}`), [name]);
  const [dialog, open] = useState(null);
  const key = one?.source ?? name;
  const [explained, silent, explain] = useBeside(pathOf(key), one?.version);
  const [definition, undefinedFor, define] = useBeside(`definitions/${encodeURIComponent(key)}`, one?.version);
  useChanges(({ sources = [] }) => {
    const news = sources.find((each) => each.source === one?.source);
    if (!news) return;
    set({ ...one, ...news });
    // sizes are not told with changes
    if (news.state !== one.state || !WORKING.includes(news.state)) again();
  });
  if (!one && ["unknown_source", "ambiguous_source"].includes(error?.code)) {
    return html`<${Missing} name=${name} error=${error} />`;
  }
  if (!one) {
    return error ? html`<${Failure} error=${error} again=${again} />`
      : html`<p class="none" role="status">${t("loading")}</p>`;
  }
  const exports = may(who, "users.export");
  const close = () => open(null);
  // what runs is followed here; the button that had the focus may be gone by then
  const stay = () => {
    document.querySelector("main")?.focus();
    again();
  };
  return html`<${Head} one=${one} operate=${operate} open=${open} />
  <${Failure} error=${error} again=${again} />
  <${Banner} one=${one} explained=${explained} operate=${operate} open=${open} />
  <div class="grid cols source">
    <${Analytics} source=${key} definition=${definition} />
    <div class="grid">
      <${Facts} one=${one} />
      <${Definition} source=${key} found=${definition} error=${undefinedFor} again=${define} />
    </div>
  </div>
  <${Uses} source=${key} explained=${explained} error=${silent} again=${explain} restorable=${!obstacle(one)}>
    <p>${reason(one)}</p><//>
  <${Timeline} source=${key} />
  ${dialog === "csv" && html`<${Download} one=${one} exports=${exports} close=${close} />`}
  ${dialog && dialog !== "csv" && html`<${Dialog} type=${dialog} sources=${[one]}
    close=${close} sent=${stay} />`}`;
}
