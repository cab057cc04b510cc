// The page: language, sign-in, the frame, and which part of it the address names.

import { html, render, useEffect, useState } from "./htm.js";
import { call, get, signedOut } from "./api.js";
import { live } from "./live.js";
import { Failure } from "./parts.js";
import { OneRequest, Requests } from "./requests.js";
import { Source } from "./source.js";
import { Sources } from "./sources.js";
import { LANGUAGES, clock, language, load, num, t } from "./texts.js";

function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [part, ...rest] = path.split("/");
  let name = rest.join("/");
  try { name = decodeURIComponent(name); } catch { /* a name with a lone percent sign stays as it is */ }
  return { part: part || "sources", name, query: new URLSearchParams(query) };
}

function SignIn({ entered }) {
  const [key, write] = useState("");
  const [error, fail] = useState(null);
  const enter = (event) => {
    event.preventDefault();
    call("POST", "session", { key }).then(entered, fail);
  };
  return html`<form class="panel signin" onSubmit=${enter}><h1>${t("signin")}</h1><p class="soft">${t("signin.about")}</p>
    ${error && (error.status === 401 ? html`<div class="error" role="alert">${t("signin.wrong")}</div>` : html`<${Failure} error=${error} />`)}
    <label>${t("signin.key")}<input type="password" autocomplete="current-password" required value=${key} onInput=${(event) => write(event.target.value)} /></label>
    <button class="primary">${t("signin")}</button></form>`;
}

function App() {
  const [where, go] = useState(place);
  const [who, known] = useState(null);
  const [error, fail] = useState(null);
  const [, draw] = useState(0);
  const again = () => get("session").then((found) => (known(found), fail(null)), fail);
  useEffect(() => {
    again();
    const moved = () => go(place());
    const redraw = () => draw((n) => n + 1);
    addEventListener("hashchange", moved);
    signedOut.addEventListener("out", again);
    for (const name of ["link", "change"]) live.addEventListener(name, redraw);
  }, []);
  const inside = who && (!who.keys || who.name !== null);
  useEffect(() => {
    if (inside) live.start(); else live.stop();
  }, [inside]);
  if (error && !who) return html`<main><${Failure} error=${error} again=${again} /></main>`;
  if (!who) return null;
  if (!inside) return html`<${SignIn} entered=${known} />`;
  const operate = ["operate", "admin"].some((scope) => who.scopes.includes(scope));
  const running = live.totals?.requests_running;
  const item = (part, count) => html`<a href=${`#/${part}`} aria-current=${where.part === part ? "page" : null}>${t(part)} <span class="faint">${count ? num(count) : ""}</span></a>`;
  const choose = (event) => load(event.target.value).then(() => draw((n) => n + 1));
  document.title = `${t(where.part)} - emberline`;
  return html`<nav aria-label=${t("menu")}><a class="brand" href="#/sources"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 2c1 4 6 6.2 6 11.5A6 6 0 0 1 12 20a6 6 0 0 1-6-6.5c0-2.3 1.2-3.9 2.4-5.2.3 1.4 1 2.2 1.9 2.7C10 8 10.6 4.8 12 2Z" fill="var(--ember)" /></svg>${"emberline"}</a>
    ${item("sources")}${item("requests", running)}
    <div class="end"><span class=${live.up ? "dot" : "dot away"}></span>${t(live.up ? "live" : "away")}<br />${who.name && html`${t("signed_in", { name: who.name })} <button onClick=${() => call("DELETE", "session").then(known, fail)}>${t("signout")}</button>`}
    <select class="lang" aria-label=${t("language")} onChange=${choose}>${Object.entries(LANGUAGES).map(([code, name]) => html`<option value=${code} selected=${code === language}>${name}</option>`)}</select></div></nav>
  <main key=${language}>${!live.up && html`<div class="notice" role="status">${t("stale", { time: clock(live.since) })}</div>`}
    ${where.part === "sources" && where.name ? html`<${Source} key=${where.name} name=${where.name} operate=${operate} />`
      : where.part === "requests" && where.name ? html`<${OneRequest} key=${where.name} id=${where.name} operate=${operate} />`
      : where.part === "requests" ? html`<${Requests} query=${where.query} />`
      : html`<${Sources} query=${where.query} operate=${operate} />`}</main>`;
}

await load();
render(html`<${App} />`, document.getElementById("app"));
