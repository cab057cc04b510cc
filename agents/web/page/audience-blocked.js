// What keeps an audience from being answered, and what mends it.

import { html, useEffect, useState } from "./htm.js";
import { sentence } from "./audience-faults.js";
import { Dialog } from "./dialog.js";
import { live } from "./live.js";
import { isolated, short } from "./named.js";
import { Chip, Failure, Progress } from "./parts.js";
import { t } from "./texts.js";

const SHOWN = 10;

/** The sources of a refusal, each once: [{ source, name, state }]. */
function sourcesOf(error) {
  const all = (error.document.refusals ?? []).flatMap((one) => one.sources);
  return [...new Map(all.map((one) => [one.source, one])).values()];
}

/** Call `changed` when one of these sources gets another state; returns their latest news by key. */
export function useStates(keys, changed) {
  const [news, set] = useState(new Map());
  const text = keys.join("\n");
  useEffect(() => {
    const wanted = new Set(keys);
    const seen = new Map();
    const told = ({ detail }) => {
      const here = (detail.sources ?? []).filter((one) => wanted.has(one.source));
      if (!here.length) return;
      set((before) => new Map([...before, ...here.map((one) => [one.source, one])]));
      const other = here.some((one) => one.state !== seen.get(one.source));
      for (const one of here) seen.set(one.source, one.state);
      if (other) changed();
    };
    live.addEventListener("change", told);
    return () => live.removeEventListener("change", told);
  }, [text]);
  return news;
}

function Blocking({ one, news }) {
  const state = news?.state ?? one.state;
  const moving = ["RESTORING", "EXPIRING"].includes(state);
  return html`<li><a class="name" href=${`#/sources/${encodeURIComponent(one.source)}`}>
      <bdi>${short(one.name || one.source)}</bdi></a>
    <${Chip} state=${state} />
    ${moving && html`<${Progress} progress=${news?.progress} label=${t(`state.${state}`)} />`}</li>`;
}

/** Expired sources: restore them, or do without them. */
function Hidden({ error, again, operate, excluding, exclude }) {
  const [open, show] = useState(false);
  const sources = sourcesOf(error);
  const news = useStates(sources.map((one) => one.source), again);
  const byKey = new Map(sources.map((one) => [one.source, one]));
  const total = error.document.sources_total ?? sources.length;
  const wanted = (error.document.restore?.sources ?? []).map((source) => ({ ...byKey.get(source), source }));
  return html`<div class="banner blocked" role="region" aria-label=${t("audience.blocked")}>
    <div>
      <b>${t("audience.blocked")}</b>
      <p class="soft">${t("audience.hidden", { count: total })}</p>
      <ul>${sources.slice(0, SHOWN).map((one) => html`<${Blocking} key=${one.source} one=${one}
        news=${news.get(one.source)} />`)}</ul>
      ${total > SHOWN && html`<p class="soft">${t("audience.more", { count: total - SHOWN })}</p>`}
      <p class="soft">${t(excluding ? "audience.exclude_no" : "audience.exclude_about")}</p>
    </div>
    <div class="deeds">
      ${wanted.length > 0 && (operate
        ? html`<button class="primary" onClick=${() => show(true)}>${t("do.restore")}</button>`
        : html`<span class="soft">${t("audience.restore_no")}</span>`)}
      ${!excluding && html`<button onClick=${exclude}>${t("audience.exclude")}</button>`}
    </div>
    ${open && html`<${Dialog} type="restore" sources=${wanted} close=${() => show(false)} sent=${again} />`}
  </div>`;
}

/** A refusal that no condition of the form shows, or all of them in short. */
export function Blocked({ error, again, operate, excluding, exclude }) {
  const { code, document } = error;
  if (code === "source_hidden") {
    return html`<${Hidden} error=${error} again=${again} operate=${operate} excluding=${excluding}
      exclude=${exclude} />`;
  }
  if (code === "shards_unavailable") {
    return html`<div class="notice" role="status">${t("audience.gone")}
      <small lang="en">${error.message}</small> <button onClick=${again}>${t("again")}</button></div>`;
  }
  if (code === "ambiguous_source") {
    const names = (document.candidates ?? []).map((one) => `${isolated(short(one.name))} (${short(one.source)})`);
    return html`<div class="error" role="alert">${t("audience.code.ambiguous_source")} ${names.join(", ")}</div>`;
  }
  const refusals = document?.refusals ?? (document?.path ? [{ ...document, code }] : []);
  if (!refusals.length) return html`<${Failure} error=${error} again=${again} />`;
  return html`<div class="error" role="region" aria-label=${t("audience.wrong")}><b>${t("audience.wrong")}</b>
    <ul>${refusals.slice(0, SHOWN).map((one) => html`<li>${sentence(one)} <code>${one.path}</code></li>`)}</ul></div>`;
}

/** Sources that an answer leaves out. */
export function LeftOut({ answer }) {
  const total = answer.excluded_expired.length;
  if (!total) return null;
  const names = new Map(answer.excluded.map((one) => [one.source, one.name]));
  const shown = answer.excluded_expired.slice(0, SHOWN).map((key) => isolated(short(names.get(key) || key))).join(", ");
  return html`<p class="notice">${t("audience.left_out", { count: total })} ${shown}
    ${total > SHOWN && t("audience.more", { count: total - SHOWN })}</p>`;
}
