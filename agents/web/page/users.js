// A user: found by an identifier, what they received and did, and what expired sources hide.

import { html, useEffect, useRef, useState } from "./htm.js";
import { get } from "./api.js";
import { Dialog } from "./dialog.js";
import { Name } from "./named.js";
import { Failure, Typed, may, useChanges, useRead } from "./parts.js";
import { address, same as sameOf } from "./users-place.js";
import { Same } from "./same.js";
import { num, t } from "./texts.js";
import { Received, Signals } from "./users-received.js";
import { Hidden } from "./users-hidden.js";

const WAYS = ["any", "user", "external", "alias"];
/** Changes of sources that come closer together are read once. */
const TOGETHER_MS = 2_000;
/** So many merged ids are listed. */
const SHOWN = 50;

function Find({ name, query }) {
  const [by, choose] = useState(query.get("by") ?? (query.get("label") ? "alias" : "any"));
  const find = (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    const id = given.get("id");
    if (id) location.hash = address(id, by, given.get("label") ?? "");
  };
  return html`<form class="bar" role="search" onSubmit=${find}>
    <select aria-label=${t("users.by")} onChange=${(event) => choose(event.target.value)}>
      ${WAYS.map((way) => html`<option value=${way} selected=${way === by}>${t(`users.by.${way}`)}</option>`)}
    </select>
    <${Typed} type="search" name="id" required aria-label=${t("users.id")} placeholder=${t("users.id")} value=${name}
      autocomplete="off" spellcheck="false" />
    ${by === "alias" && html`<${Typed} name="label" aria-label=${t("users.label")} placeholder=${t("users.label")}
      value=${query.get("label") ?? ""} autocomplete="off" spellcheck="false" />`}
    <button class="primary">${t("users.find")}</button>
  </form>`;
}

/** Why there is no user: what the worker knows of them, in the reader's language. */
function Nobody({ error, name, again }) {
  const { code, document } = error;
  if (code === "ambiguous_user") {
    return html`<div class="panel" role="alert"><h2>${t("users.ambiguous")}</h2>
      <p class="soft">${t("users.ambiguous.about")}</p>
      <ul class="plain">${(document.users ?? []).map((user) => html`<li key=${user}>
        <a class="more" href=${address(user, "user")}><bdi>${user}</bdi></a></li>`)}</ul></div>`;
  }
  if (code !== "unknown_user") return html`<${Failure} error=${error} again=${again} />`;
  const gone = document.gone ?? "unknown";
  return html`<div class="panel" role="alert"><h2>${t(`users.gone.${gone}`)}</h2>
    <p class="soft">${t(`users.gone.${gone}.about`)}</p>
    <p><code>${name.slice(0, 200)}</code> ${document.into && html`→ <code>${document.into.slice(0, 200)}</code>`}</p>
  </div>`;
}

function Person({ user }) {
  const aliases = [
    ...user.aliases.map((alias) => html`<li><bdi>${alias}</bdi></li>`),
    ...user.user_aliases.map((one) => html`<li><bdi>${one.alias_name}</bdi> <small><bdi>${one.alias_label}</bdi></small></li>`),
  ];
  return html`<section class="panel" aria-label=${t("users.who")}>
    <dl>
      <dt>${t("users.by.user")}</dt><dd><${Name} text=${user.user_id} /></dd>
      <dt>${t("users.by.external")}</dt>
      <dd>${user.external_user_id === null ? t("users.none") : html`<${Name} text=${user.external_user_id} />`}</dd>
      <dt>${t("users.aliases")}</dt><dd>${aliases.length ? html`<ul class="plain">${aliases}</ul>` : t("users.none")}</dd>
      ${user.merged_users.length > 0 && html`<dt>${t("users.merged_users")}</dt>
        <dd><ul class="plain">${user.merged_users.slice(0, SHOWN).map((one) => html`<li key=${one}><bdi>${one}</bdi></li>`)}
          ${user.merged_users.length > SHOWN && html`<li>+${num(user.merged_users.length - SHOWN)}</li>`}</ul>
          <p class="soft">${t("users.merged_users.about")}</p></dd>`}
    </dl>
    ${!user.in_roster && html`<p class="why">${t("users.events_only")}</p>`}
  </section>`;
}

export function User({ name, query, who, operate }) {
  const allowed = may(who, "users.export");
  const by = query.get("by") ?? "";
  const label = query.get("label") ?? "";
  const asked = new URLSearchParams({ ...(by && { by }), ...(label && { label }) });
  const path = `users/${encodeURIComponent(name)}${asked.size ? `?${asked}` : ""}`;
  const read = () => (allowed && name ? get(path) : Promise.resolve(null));
  const [user, error, again] = useRead(read, [path, allowed]);
  const [dialog, open] = useState(null);
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  useChanges(({ sources = [] }) => {
    // any source may hide something of this user from now on, or show it again
    if (!user || !sources.length || timer.current) return;
    timer.current = setTimeout(() => {
      timer.current = 0;
      again();
    }, TOGETHER_MS);
  });
  if (!allowed) {
    return html`<div class="head"><h1>${t("users")}</h1></div>
      <div class="panel none" role="status"><p>${t("users.forbidden")}</p></div>`;
  }
  const shown = user && !error;
  return html`<div class="head"><div><h1>${t("users")}</h1><span class="soft">${t("users.about")}</span></div></div>
  <${Find} key=${path} name=${name} query=${query} />
  ${!name && html`<div class="panel none"><p>${t("users.empty")}</p></div>`}
  ${name && !user && !error && html`<p class="none" role="status">${t("loading")}</p>`}
  ${error && html`<${Nobody} error=${error} name=${name} again=${again} />`}
  ${shown && html`<div class="user">
    ${user.merged_from !== null && html`<div class="banner still" role="status"><div>
      <b>${t("users.merged")}</b><p>${t("users.merged.about", { from: user.merged_from, into: user.user_id })}</p></div></div>`}
    <${Hidden} user=${user} operate=${operate} restore=${open} />
    <div class="cols"><${Person} user=${user} /><${Signals} user=${user} /></div>
    <${Received} kind="campaign" entries=${user.campaigns_received} />
    <${Received} kind="canvas" entries=${user.canvas_messages_received} />
    <${Same} commands=${[sameOf(name, by, label)]} paths=${[path]} />
  </div>`}
  ${dialog && html`<${Dialog} type="restore" sources=${dialog} close=${() => open(null)} />`}`;
}
