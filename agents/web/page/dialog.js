// The dialog before a change: a dry run, a reason, the same on the command line; then the request.

import { html, useEffect, useRef, useState } from "./htm.js";
import { ask, equivalents } from "./api.js";
import { Failure } from "./parts.js";
import { size, t } from "./texts.js";

const newId = () => `page-${Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;

/**
 * `type`: restore, hold, unhold, expire. `sources`: as the lists have them; sizes may be absent. `sent`
 * gets the request; without it the dialog shows the request's own view.
 */
export function Dialog({ type, sources, close, sent }) {
  const box = useRef();
  const [id] = useState(newId);
  const [reason, write] = useState("");
  const [dry, check] = useState(null);
  const [error, fail] = useState(null);
  const [busy, work] = useState(false);
  const body = { type, sources: sources.map((one) => one.source), ...(reason && { reason }) };
  useEffect(() => {
    box.current.showModal();
    ask({ ...body, dry_run: true }, newId()).then(check, fail);
  }, []);
  const send = async (event) => {
    event.preventDefault();
    work(true);
    fail(null);
    try {
      const found = await ask(body, id);
      close();
      if (sent) sent(found);
      else location.hash = `#/requests/${encodeURIComponent(found.request_id)}`;
    } catch (why) {
      fail(why);
      work(false);
    }
  };
  const bytes = sources.reduce((sum, one) => sum + (one.sizes ? Math.max(one.sizes.bytes, one.sizes.archived_bytes) : 0), 0);
  const refused = dry?.sources.filter((one) => one.outcome === "refused") ?? [];
  const possible = dry ? sources.length - refused.length : 0;
  return html`<dialog ref=${box} aria-labelledby="asks" onClose=${close}>
    <form onSubmit=${send}>
      <h1 id="asks">${t(`ask.${type}`)}</h1>
      <p>${t("dialog.sum", { count: sources.length, size: size(bytes) })} <span class="soft">${t(`cost.${type}`)}</span></p>
      ${!dry && !error && html`<p class="soft" role="status">${t("dialog.checking")}</p>`}
      ${dry && html`<p role="status"><b>${t("dialog.possible", { count: possible })}</b> ${refused.length > 0 && t("dialog.refused", { count: refused.length })}</p>
      <ul>${dry.sources.map((one) => html`<li key=${one.source}><b>${one.name || one.source}</b> <small>${one.message}</small></li>`)}</ul>`}
      <${Failure} error=${error} />
      <label>${t("dialog.reason")}<input value=${reason} maxlength="1000" onInput=${(event) => write(event.target.value)} /></label>
      <details><summary>${t("equivalent")}</summary><pre>${equivalents(body)}</pre></details>
      <div class="right"><button type="button" onClick=${close}>${t("dialog.close")}</button>
        <button class="primary" disabled=${busy || !possible}>${t(`do.${type}`)}</button></div>
    </form></dialog>`;
}
