// The sweep that expires sources: when it runs, what it asks, and the buttons that answer.

import { html, useEffect, useRef, useState } from "./htm.js";
import { call, quoted } from "./api.js";
import { Name } from "./named.js";
import { Failure, Moment } from "./parts.js";
import { period } from "./spans.js";
import { locale, num, t } from "./texts.js";

const newId = () =>
  `page-${Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;

const share = (part) => new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 }).format(part);

/** `type`: pause, resume or confirm; `question`: what the sweep asks, which a confirmation names. */
function SweepDialog({ type, sweep, close, done }) {
  const box = useRef();
  const [id] = useState(newId);
  // what is confirmed is what the reader has seen, even if the sweep asks something else meanwhile
  const [seen] = useState(sweep);
  const [reason, write] = useState("");
  const [error, fail] = useState(null);
  const [busy, work] = useState(false);
  useEffect(() => box.current.showModal(), []);
  const body = { ...(type === "confirm" && { confirm: seen.confirm }), ...(reason && { reason }) };
  const send = async (event) => {
    event.preventDefault();
    work(true);
    fail(null);
    try {
      await call("POST", `sweep/${type}?wait=5`, body, { "Idempotency-Key": id });
      box.current.close();
      done();
    } catch (why) {
      fail(why);
      work(false);
    }
  };
  const base = new URL(".", location.href).href.split("#")[0];
  const named = type === "confirm" ? ` ${quoted(seen.confirm)}` : "";
  const why = reason ? ` --reason ${quoted(reason)}` : "";
  const json = `-H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body))}`;
  const lines = `emberline ${type}${named}${why}\n\ncurl -X POST ${quoted(`${base}sweep/${type}`)} -H 'Authorization: Bearer KEY' ${json}`;
  const changed = type === "confirm" && sweep.confirm !== seen.confirm;
  return html`<dialog ref=${box} aria-labelledby="sweep-asks" onClose=${close}>
    <form onSubmit=${send}>
      <h1 id="sweep-asks">${t(`system.sweep.ask.${type}`)}</h1>
      <p>${t(`system.sweep.about.${type}`, { count: seen.awaiting })}</p>
      ${type === "confirm" && html`<${Due} sweep=${seen} />`}
      ${changed && html`<div class="notice" role="status">${t("system.sweep.changed")}</div>`}
      <${Failure} error=${error} />
      <label>${t("dialog.reason")}<input value=${reason} maxlength="1000" onInput=${(event) => write(event.target.value)} /></label>
      <details><summary>${t("equivalent")}</summary><pre tabindex="0">${lines}</pre></details>
      <div class="right"><button type="button" onClick=${() => box.current.close()}>${t("dialog.close")}</button>
        <button class="primary" disabled=${busy || changed}>${t(`system.sweep.do.${type}`)}</button></div>
    </form></dialog>`;
}

/** The first of the sources that are due. */
function Due({ sweep }) {
  const more = sweep.due - sweep.sources.length;
  return html`<ul class="plain" tabindex="0" aria-label=${t("system.sweep.due")}>
    ${sweep.sources.map((one) => html`<li key=${one.source}>
      <a class="more" href=${`#/sources/${encodeURIComponent(one.source)}`}><${Name} text=${one.name || one.source} /></a>
      ${" "}<small><${Moment} ms=${one.due_at} /></small></li>`)}
    ${more > 0 && html`<li class="soft">${t("users.unchecked.more", { count: more })}</li>`}</ul>`;
}

export function Sweep({ sweep, operate, again }) {
  const [dialog, open] = useState(null);
  const state = sweep.paused ? "paused" : sweep.suspended || sweep.archive_fault ? "suspended" : sweep.awaiting ? "waiting" : "running";
  const looks = { paused: "due", suspended: "bad", waiting: "due", running: "active" };
  return html`<section class="panel" aria-label=${t("system.sweep")}>
    <div class="head"><h2>${t("system.sweep")} <span class=${`chip ${looks[state]}`}>${t(`system.sweep.state.${state}`)}</span></h2>
      ${operate && html`<button onClick=${() => open(sweep.paused ? "resume" : "pause")}>
        ${t(sweep.paused ? "system.sweep.do.resume" : "system.sweep.do.pause")}</button>`}</div>
    ${sweep.awaiting > 0 && html`<div class="banner asks" role="status"><div class="grow">
      <b>${t("system.sweep.awaiting", { count: sweep.awaiting })}</b>
      <p>${t("system.sweep.share", { hot: sweep.hot, share: share(sweep.confirm_share) })}</p>
      <${Due} sweep=${sweep} /></div>
      ${operate && html`<button class="primary" onClick=${() => open("confirm")}>${t("system.sweep.do.confirm")}</button>`}</div>`}
    ${sweep.suspended && html`<div class="notice" role="status">${t("system.sweep.clocks")}</div>`}
    ${sweep.archive_fault && html`<div class="notice" role="alert"><p>${t("system.sweep.archive")}</p>
      <p class="soft" lang="en">${sweep.archive_fault}</p></div>`}
    <dl><dt>${t("system.sweep.next")}</dt>
      <dd>${sweep.paused ? t("system.sweep.not") : sweep.next_at ? html`<${Moment} ms=${sweep.next_at} />` : t("unknown")}</dd>
      <dt>${t("system.sweep.every")}</dt><dd>${period(sweep.interval)}</dd>
      <dt>${t("system.sweep.due")}</dt><dd>${num(sweep.due)}</dd></dl>
    ${dialog && html`<${SweepDialog} type=${dialog} sweep=${sweep} close=${() => open(null)} done=${again} />`}
  </section>`;
}
