// The page: language, sign-in, the frame, and which view the address names.

import { html, render, useEffect, useErrorBoundary, useRef, useState } from "./htm.js";
import { call, get, signedOut } from "./api.js";
import { Audience } from "./audience.js";
import { LinkNotice } from "./link.js";
import { live } from "./live.js";
import { isolated, short } from "./named.js";
import { Failure, may } from "./parts.js";
import { OneRequest, Requests } from "./requests.js";
import { Running } from "./running.js";
import { Same } from "./same.js";
import { Source } from "./source.js";
import { Sources } from "./sources.js";
import { LANGUAGES, language, load, num, t } from "./texts.js";
import { System } from "./system.js";
import { User } from "./users.js";

/**
 * The views of the menu: `all` shows `#/NAME`, `one` shows `#/NAME/ID`. Each gets `query`
 * (URLSearchParams), `operate` (whether the reader may change things), `who` (as GET /session
 * says), and `name` (the ID, for `one`). `badge` is a number beside the menu's word.
 */
const VIEWS = {
  sources: { all: Sources, one: Source },
  requests: { all: Requests, one: OneRequest, badge: (totals) => totals.requests_running },
  audience: { all: Audience },
  users: { all: User, one: User },
  system: { all: System, one: System },
};

function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [part, ...rest] = path.split("/");
  let name = rest.join("/");
  try {
    name = decodeURIComponent(name);
  } catch {
    // a name with a lone percent sign stays as it is
  }
  return { part: Object.hasOwn(VIEWS, part) ? part : "sources", name, query: new URLSearchParams(query) };
}

/** `left`: what the worker said when the reader signed out; null if nobody did. */
function SignIn({ entered, left, redraw }) {
  const [key, write] = useState("");
  const [error, fail] = useState(null);
  const enter = (event) => {
    event.preventDefault();
    call("POST", "session", { key }).then(entered, fail);
  };
  const wrong = error?.status === 401;
  return html`<form class="panel signin" onSubmit=${enter}>
    <${Brand} />
    <h1>${t("signin")}</h1>
    ${left?.everywhere === false && html`<p class="notice" role="alert">${t("signout.partly")}</p>`}
    <p class="soft">${t("signin.about")}</p>
    ${wrong ? html`<div class="error" role="alert">${t("signin.wrong")}</div>` : html`<${Failure} error=${error} />`}
    <label>
      ${t("signin.key")}
      <input type="password" autocomplete="current-password" required value=${key}
        onInput=${(event) => write(event.target.value)} />
    </label>
    <button class="primary">${t("signin")}</button>
    <${Language} redraw=${redraw} />
  </form>`;
}

/** A key without `read` shows nothing: said once, in place of a refusal in each view. */
function NothingToRead({ who, leave, stuck, redraw }) {
  return html`<section class="panel signin" aria-labelledby="unread">
    <${Brand} />
    <h1 id="unread">${t("signin.unread")}</h1>
    <p>${t("signin.unread.about", { name: isolated(short(who.name)) })}</p>
    <ul class="plain">${who.scopes.map((scope) => html`<li key=${scope}><code>${scope}</code>
      <span class="why">${t(`signin.scope.${scope}`)}</span></li>`)}</ul>
    <p class="soft">${t("signin.unread.remedy")}</p>
    <${Same} commands=${["emberline keys add NAME --scope read --scope operate"]} paths=${["session"]} />
    ${stuck && html`<div class="notice" role="alert">${t("signout.failed")}</div>`}
    <button class="primary" onClick=${leave}>${t("signin.other")}</button>
    <${Language} redraw=${redraw} />
  </section>`;
}

const FLAME = "M12 2c1 4 6 6.2 6 11.5A6 6 0 0 1 12 20a6 6 0 0 1-6-6.5c0-2.3 1.2-3.9 2.4-5.2.3 1.4 1 2.2 1.9 2.7"
  + "C10 8 10.6 4.8 12 2Z";

const Brand = () => html`<a class="brand" href="#/sources">
  <svg viewBox="0 0 24 24" aria-hidden="true"><path d=${FLAME} fill="var(--ember)" /></svg>${"emberline"}</a>`;

function Language({ redraw }) {
  const option = ([code, name]) => html`<option value=${code} selected=${code === language}>${name}</option>`;
  return html`<select class="lang" aria-label=${t("language")}
    onChange=${(event) => load(event.target.value).then(redraw)}>${Object.entries(LANGUAGES).map(option)}</select>`;
}

function Menu({ part, who, leave, redraw }) {
  // on a phone the menu is closed until its button is pressed
  const [open, turn] = useState(false);
  useEffect(() => turn(false), [part]);
  const item = ([name, { badge }]) => {
    const count = live.totals && badge?.(live.totals);
    return html`<a href=${`#/${name}`} aria-current=${part === name ? "page" : null}>
      ${t(name)} <span class="faint">${count ? num(count) : ""}</span></a>`;
  };
  return html`<nav class=${open ? "frame open" : "frame"} aria-label=${t("menu")}>
    <${Brand} />
    <button class="unfold" aria-expanded=${String(open)} aria-controls="menu" onClick=${() => turn(!open)}>
      <span class=${live.up ? "dot" : "dot away"}></span>${t("menu")}</button>
    <div id="menu">
    ${Object.entries(VIEWS).map(item)}
    <div class="end">
      <p><span class=${live.up ? "dot" : "dot away"}></span><span>${t(live.up ? "live" : "away")}</span></p>
      ${who.name && html`<p>${t("signed_in", { name: who.name })}${" "}
        <button onClick=${leave}>${t("signout")}</button></p>`}
      <${Language} redraw=${redraw} />
    </div>
    </div>
  </nav>`;
}

/** A view; and if it fails, what is said in its place: the frame stays, and another address begins anew. */
function Shown({ View, ...facts }) {
  const [error, again] = useErrorBoundary((why) => console.error(why));
  const asked = facts.query.toString();
  useEffect(() => {
    if (error) again();
  }, [asked]);
  if (!error) return html`<${View} ...${facts} />`;
  return html`<div class="error" role="alert">${t("frame.failed")}
    <button onClick=${again}>${t("again")}</button></div>`;
}

function App() {
  const [where, go] = useState(place);
  const [who, known] = useState(null);
  const [error, fail] = useState(null);
  const [left, wentOut] = useState(null);
  const [stuck, stay] = useState(null);
  const [, draw] = useState(0);
  const redraw = () => draw((n) => n + 1);
  const again = () => get("session").then((found) => (known(found), fail(null)), fail);
  useEffect(() => {
    again();
    const moved = () => go(place());
    addEventListener("hashchange", moved);
    moved(); // the address may have changed since the first drawing
    signedOut.addEventListener("out", again);
    for (const name of ["link", "change"]) live.addEventListener(name, redraw);
  }, []);
  // who reads by ear or by keyboard goes on where the new view begins
  const main = useRef();
  const shown = useRef(null);
  useEffect(() => {
    const view = `${where.part}/${where.name}`;
    if (shown.current !== null && shown.current !== view) {
      main.current?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    shown.current = view;
  }, [where.part, where.name]);
  const inside = who && (!who.keys || who.name !== null);
  const reads = inside && may(who, "read");
  useEffect(() => {
    if (reads) live.start();
    else live.stop();
  }, [reads]);
  const entered = (found) => (wentOut(null), known(found));
  if (error && !who) return html`<main><${Failure} error=${error} again=${again} /></main>`;
  if (!who) return null;
  if (!inside) return html`<${SignIn} entered=${entered} left=${left} redraw=${redraw} />`;
  const leave = () => call("DELETE", "session").then((found) => (stay(null), wentOut(found), known(found)), stay);
  if (!reads) return html`<${NothingToRead} who=${who} leave=${leave} stuck=${stuck} redraw=${redraw} />`;
  const operate = may(who, "operate");
  const { all, one } = VIEWS[where.part];
  const View = where.name && one ? one : all;
  document.title = `${t(where.part)} - emberline`;
  return html`<button class="skip" onClick=${() => main.current.focus()}>${t("frame.skip")}</button>
    <${Menu} part=${where.part} who=${who} leave=${leave} redraw=${redraw} />
    <main key=${language} ref=${main} tabindex="-1">
      <${LinkNotice} />
      ${stuck && html`<div class="notice" role="alert">${t("signout.failed")}</div>`}
      <${Shown} key=${`${where.part}/${where.name}`} View=${View}
        name=${where.name} query=${where.query} operate=${operate} who=${who} />
    </main>
    <${Running} who=${who} shown=${where.part === "requests" ? where.name : ""} />`;
}

await load();
render(html`<${App} />`, document.getElementById("app"));
