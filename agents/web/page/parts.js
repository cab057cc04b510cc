// Small parts that several pages show.

import { html, useEffect, useRef, useState } from "./htm.js";
import { live } from "./live.js";
import { actor, isolated, short } from "./named.js";
import { problem, words } from "./problems.js";
import { duration } from "./spans.js";
import { day, due, moment, num, t } from "./texts.js";

const LOOKS = {
  ACTIVE: "active",
  EXEMPT: "used",
  HELD: "held",
  STOPPED: "due",
  EXPIRING: "moving",
  RESTORING: "moving",
  running: "moving",
  sent: "moving",
  finished: "active",
  failed: "bad",
};

export const STATES = ["ACTIVE", "EXEMPT", "HELD", "STOPPED", "EXPIRING", "EXPIRED", "RESTORING", "UNKNOWN"];

export const Chip = ({ state }) => html`<span class=${`chip ${LOOKS[state] ?? ""}`}>${t(`state.${state}`)}</span>`;

export const Moment = ({ ms }) => html`<time datetime=${new Date(ms).toISOString()}>${moment(ms)}</time>`;

/** How many interactions a source with sizes has: the archive keeps a copy of those it gave back. */
export const interactions = ({ sizes }) => Math.max(sizes.rows, sizes.archived_rows);

/** The reason of a state, in the reader's language; what operators wrote stays as it is. `names`: of keys. */
export function reasons(source, names = {}) {
  if (source.legacy_deleted) return [t("why.deleted")];
  const called = (key) => isolated(short(names[key] || key));
  const found = (source.exempt_by ?? []).map((one) =>
    t("why.used", { by: [one.root, ...one.through].map(called).join(" \u2190 ") }));
  if (source.held) {
    found.push(holding(source.held));
  }
  if (source.due_at) found.push(t("why.due", { date: due(source.due_at) }));
  if (source.state === "EXPIRED" && source.expired_at) found.push(t("why.expired", { date: day(source.expired_at) }));
  if (source.state === "UNKNOWN") found.push(t("why.unknown"));
  return found;
}

export function Progress({ progress, label }) {
  if (!progress) return html`<progress aria-label=${label}></progress>`;
  const left = progress.seconds_left;
  return html`<progress aria-label=${label} value=${progress.done} max=${Math.max(progress.total, 1)}></progress>
    <span class="why">${left === null ? t("left.unknown") : t("left", { time: duration(left) })}</span>`;
}

/** Who holds a source, and why. */
export function holding({ by, reason, legal, since }, most = 10_000) {
  const facts = { by: isolated(actor(by)), reason: reason && isolated(short(reason, most)) };
  if (legal) return t("why.legal", { ...facts, date: day(since) });
  return t(reason ? "why.held_for" : "why.held", facts);
}

/** Why a source was refused, failed, or was so already: from the code and the state it is in. */
export function refusal({ code, state, already }, type) {
  if (code === "invalid_command" && ["ACTIVE", "HELD", "EXEMPT", "RESTORING", "UNKNOWN"].includes(state)) {
    return t(`refusal.state.${state}`);
  }
  if (code === null) return already && ["hold", "unhold"].includes(type) ? t(`refusal.already.${type}`) : "";
  return CODES.includes(code) ? t(`refusal.${code}`) : code;
}

const CODES = [
  ...["already_expired", "already_restoring", "cancelled", "invalid_command", "legacy_deleted", "not_expired"],
  ...["not_restoring", "nothing_archived", "unknown_source"],
  ...["archive_damaged", "archive_foreign", "archive_missing", "second_person"],
];

/** The reasons of a request with how many sources each is of: what is so already apart. `dry`: nothing is done yet. */
export function Reasons({ reasons, type, dry = false }) {
  const head = dry ? ["refusal.refused", "refusal.already"] : ["refusal.missed", "refusal.needless"];
  const texts = new Map();
  for (const reason of reasons) {
    const key = `${reason.already ? "already" : "refused"} ${refusal(reason, type)}`;
    const known = texts.get(key) ?? { already: reason.already, text: refusal(reason, type), count: 0 };
    texts.set(key, { ...known, count: known.count + reason.count });
  }
  const all = [...texts.values()];
  const part = (already) => {
    const found = all.filter((one) => one.already === already);
    const count = found.reduce((sum, one) => sum + one.count, 0);
    return found.length > 0 && html`<p class="soft">${t(head[Number(already)], { count })}</p>
      <ul class="reasons">${found.map((one) => html`<li><b>${num(one.count)}</b> ${one.text}</li>`)}</ul>`;
  };
  return html`${part(false)}${part(true)}`;
}

export function Failure({ error, again }) {
  if (!error) return null;
  const more = words(error);
  return html`<div class="error" role="alert">${problem(error)}
    ${again && error.status !== 403 && html`${" "}<button onClick=${again}>${t("again")}</button>`}
    ${more && html`<small class="why" lang="en"><bdi>${more.slice(0, 500)}</bdi></small>`}</div>`;
}

/**
 * An input whose text is used only when its reader has finished. What is typed stays when the view
 * around it is drawn anew; another `value` replaces it.
 */
export function Typed({ value, ...rest }) {
  const [text, write] = useState(value);
  useEffect(() => write(value), [value]);
  return html`<input ...${rest} value=${text} onInput=${(event) => write(event.target.value)} />`;
}

/** A worker that starts, or that nobody reaches, is asked again after so long. */
const AGAIN_MS = 2_000;

const partial = (found) => found?.sizes === null || found?.sources?.some?.((one) => one.sizes === null);

/**
 * Read something now, after each reload, and when `inputs` change: [value, error, again, set]. What
 * failed because no worker answered, or not all of them, is read again by itself; so is an answer
 * without the sizes of a source, which shards did not tell.
 */
export function useRead(read, inputs) {
  const [found, set] = useState(null);
  const [error, fail] = useState(null);
  const last = useRef({ turn: 0 }).current;
  last.read = read;
  const again = () => {
    // only the last answer counts
    const turn = ++last.turn;
    clearTimeout(last.timer);
    const good = (value) => {
      if (turn !== last.turn) return;
      set(value);
      fail(null);
      if (partial(value)) last.timer = setTimeout(again, AGAIN_MS);
    };
    const bad = (why) => {
      if (turn !== last.turn) return;
      fail(why);
      if (why.status === 0 || why.status === 503) last.timer = setTimeout(again, AGAIN_MS);
    };
    return last.read().then(good, bad);
  };
  useEffect(() => {
    again();
    return () => {
      last.turn += 1;
      clearTimeout(last.timer);
    };
  }, inputs);
  useEffect(() => {
    const reload = (event) => event.detail.waits.push(again());
    live.addEventListener("reload", reload);
    return () => live.removeEventListener("reload", reload);
  }, []);
  return [found, error, again, set];
}

/** `work` as a function that may be called often: it runs at most once in so many milliseconds, a moment later. */
export function useLater(work, ms) {
  const last = useRef(work);
  const timer = useRef(0);
  last.current = work;
  useEffect(() => () => clearTimeout(timer.current), []);
  return () => {
    timer.current ||= setTimeout(() => {
      timer.current = 0;
      last.current();
    }, ms);
  };
}

/** Call `heard` with each change. */
export function useChanges(heard) {
  useEffect(() => {
    const told = (event) => heard(event.detail);
    live.addEventListener("change", told);
    return () => live.removeEventListener("change", told);
  });
}

/** Whether the reader's key allows `scope`; without keys all is allowed, and GET /session says so. */
export const may = (who, scope) => [scope, "admin"].some((one) => who.scopes.includes(one));
