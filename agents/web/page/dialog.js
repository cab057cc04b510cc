// The dialog before a change: a dry run says what would happen; then the request itself.

import { html, useEffect, useRef, useState } from "./htm.js";
import { ask, equivalents, tryOut } from "./api.js";
import { short } from "./named.js";
import { Failure, Reasons } from "./parts.js";
import { duration } from "./spans.js";
import { day, num, size, t } from "./texts.js";
import { watch } from "./running.js";

const MOVES = ["restore", "expire"];
/** The questions that have a form for one source and one for several. */
const COUNTED = ["hold", "unhold"];
const MANY = 2;
const SHOWN = 50;
const ADDRESS = /^[^@\s]+@[^@\s]+$/;

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `page-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

const addresses = (text) => text.split(/[\s,;]+/).filter(Boolean);

/** How long it may take, and what that is measured by; nothing is said that was not measured. */
function Estimate({ type, effect }) {
  if (!MOVES.includes(type) || !effect.sources) return null;
  if (effect.seconds === null) return html`<dt>${t("dialog.time")}</dt><dd>${t(`dialog.unmeasured.${type}`)}</dd>`;
  const { measured } = effect;
  const by = t(`dialog.measured.${type}`, {
    date: day(measured.time),
    size: size(measured.bytes),
    time: duration(measured.seconds),
  });
  return html`<dt>${t("dialog.time")}</dt><dd>${t("dialog.seconds", { time: duration(effect.seconds) })}
    <span class="why">${by}</span></dd>`;
}

/** What a dry run found: how much would be done, what would not, and why. Rows that are no segments yet have no size. */
function Found({ type, dry }) {
  const { effect, counts } = dry;
  const possible = dry.sources.filter((part) => part.outcome !== "refused" && !part.already);
  const more = effect.sources - Math.min(possible.length, SHOWN);
  return html`<div role="status">
    <p><b>${counts.total > effect.sources
      ? t("dialog.possible_of", { count: effect.sources, total: counts.total })
      : t("dialog.possible", { count: effect.sources })}</b></p>
    ${effect.sources > 0 && type !== "cancel" && html`<dl>
      <dt>${t("interactions")}</dt><dd>${num(effect.interactions)}</dd>
      ${effect.bytes > 0 && html`<dt>${t("dialog.size")}</dt><dd>${size(effect.bytes)}</dd>`}
      <${Estimate} type=${type} effect=${effect} />
    </dl>`}
    <${Reasons} reasons=${dry.reasons} type=${type} dry=${true} />
  </div>
  ${possible.length > 0 && html`<details><summary>${t("dialog.which")}</summary>
    <ul tabindex="0" aria-label=${t("dialog.which")}>
      ${possible.slice(0, SHOWN).map((part) => html`<li key=${part.source}>
        <bdi>${part.name || part.source}</bdi></li>`)}
      ${more > 0 && html`<li class="soft">${t("dialog.more", { count: more })}</li>`}
    </ul></details>`}`;
}

/** Errors of which the reader can be told more than the worker's English. */
function Trouble({ error }) {
  if (!error) return null;
  const { code, document = {} } = error;
  const nothing = code === "command_refused" && document.refusal === "unknown_source";
  const texts = {
    request_too_large: t(document.most ? "dialog.too_many" : "dialog.too_large", {
      count: document.matching ?? 0,
      most: document.most ?? 0,
    }),
    command_refused: nothing && t("dialog.nothing"),
    control_unavailable: t("dialog.unsent"),
    key_reused: t("dialog.reused"),
    shards_unavailable: t("dialog.unready"),
  };
  const text = texts[code];
  return text ? html`<div class="error" role="alert">${text}</div>` : html`<${Failure} error=${error} />`;
}

/**
 * `type`: restore, hold, unhold, expire, cancel. Either `sources`, which have keys, or `match`, the filters of a
 * list, or `request`, the id of what is cancelled. `sent` gets the request; without it the dialog shows the
 * request's own view.
 */
export function Dialog({ type, sources = [], match, request, close, sent }) {
  const box = useRef();
  const here = useRef(true);
  const [id] = useState(newId);
  const [reason, write] = useState("");
  const [notify, address] = useState("");
  const [legal, bind] = useState(false);
  const [dry, check] = useState(null);
  const [error, fail] = useState(null);
  const [busy, work] = useState(false);
  const named = request ? [request] : sources.map((one) => one.source);
  const recipients = addresses(notify);
  const wrong = recipients.find((one) => !ADDRESS.test(one));
  const body = {
    type,
    ...(match ? { match } : { sources: named }),
    ...(reason && { reason }),
    ...(legal && { legal }),
    ...(recipients.length > 0 && { notify: recipients }),
  };
  const tryFirst = () => {
    fail(null);
    tryOut(body, newId(), () => here.current).then(
      (found) => here.current && check(found),
      (why) => here.current && fail(why),
    );
  };
  useEffect(() => {
    // showModal also gives the focus back, to what had it before, when the dialog is closed
    box.current.showModal();
    tryFirst();
    return () => { here.current = false; };
  }, []);
  const shut = () => box.current.close();
  const send = async (event) => {
    event.preventDefault();
    work(true);
    fail(null);
    try {
      // since the dry run more sources may match: nothing is done to one that the dialog did not count
      const asked = match ? { ...body, match: { ...match, tried: dry.request_id } } : body;
      const found = await ask(asked, id);
      watch(found, single ? single.name || single.source : "");
      shut();
      if (sent) sent(found);
      else location.hash = `#/requests/${encodeURIComponent(found.request_id)}`;
    } catch (why) {
      fail(why);
      work(false);
    }
  };
  const single = !match && !request && sources.length === 1 ? sources[0] : null;
  // of all that match nobody knows yet how many they are
  const asks = COUNTED.includes(type) ? t(`ask.${type}`, { count: match ? MANY : sources.length }) : t(`ask.${type}`);
  const possible = dry?.effect?.sources ?? 0;
  return html`<dialog ref=${box} aria-labelledby="asks" aria-describedby="asks-cost" onClose=${close}>
    <form onSubmit=${send}>
      <h1 id="asks">${asks}</h1>
      ${single && html`<p class="which"><bdi>${short(single.name || single.source, 200)}</bdi></p>`}
      <p id="asks-cost" class="soft">${t(`cost.${type}`)}</p>
      ${!dry && !error && html`<p class="soft" role="status">${t("dialog.checking")}</p>`}
      ${dry && html`<${Found} type=${type} dry=${dry} />`}
      <${Trouble} error=${error} />
      ${error && !dry && html`<p><button type="button" onClick=${tryFirst}>${t("again")}</button></p>`}
      <label>${t(legal ? "dialog.reason.needed" : "dialog.reason")}
        <input value=${reason} maxlength="1000" required=${legal} onInput=${(event) => write(event.target.value)} /></label>
      ${type === "hold" && html`<label class="check">
        <input type="checkbox" checked=${legal} aria-describedby="asks-legal"
          onChange=${(event) => bind(event.target.checked)} /> ${t("dialog.legal")}</label>
        <p id="asks-legal" class="soft">${t("dialog.legal.about")}</p>`}
      ${type === "restore" && html`<label>${t("dialog.notify")}
        <input value=${notify} inputmode="email" autocomplete="email" aria-invalid=${wrong ? "true" : null}
          aria-describedby="asks-notify" onInput=${(event) => address(event.target.value)} />
        <small id="asks-notify">${wrong ? t("dialog.address", { address: wrong }) : t("dialog.notify.about")}</small>
      </label>`}
      <details><summary>${t("equivalent")}</summary><pre tabindex="0">${equivalents(body, dry?.counts.total)}</pre></details>
      <div class="right">
        <button type="button" onClick=${shut}>${t("dialog.close")}</button>
        <button class="primary" disabled=${busy || !possible || Boolean(wrong)}>${t(`do.${type}`)}</button>
      </div>
    </form></dialog>`;
}
