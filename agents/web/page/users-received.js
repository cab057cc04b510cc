// What a user received and did: Campaigns Received, Canvas Messages Received, and signals.

import { html } from "./htm.js";
import { Name } from "./named.js";
import { Chip, Moment } from "./parts.js";
import { t } from "./texts.js";

const KINDS = {
  campaign: { title: "users.campaigns", none: "users.campaigns.none", name: "kind.campaign", last: "users.last" },
  canvas: { title: "users.canvases", none: "users.canvases.none", name: "kind.canvas", last: "users.last_message" },
};
const DEEDS = ["opened", "machine_opened", "clicked", "bot_clicked"];
const LOOKS = { opened: "used", clicked: "held", converted: "active" };

const at = (text) => html`<${Moment} ms=${Date.parse(text)} />`;

/** One fact of a user, and when it was last so. */
const Deed = ({ name, look, when }) => html`<li><span class=${`chip ${look ?? ""}`}>${name}</span>
  ${when && html`<span class="why">${at(when)}</span>`}</li>`;

function Deeds({ entry }) {
  const found = DEEDS.filter((name) => entry[name]).map((name) =>
    html`<${Deed} name=${t(`users.deed.${name}`)} look=${LOOKS[name]} when=${entry[name].last} />`);
  const links = entry.aliases_clicked.map((one) =>
    html`<${Deed} name=${t("users.link", { alias: one.alias })} look="held" when=${one.last} />`);
  const conversions = entry.conversions.map((one) =>
    html`<${Deed} name=${t("users.conversion", { index: one.index + 1 })} look="active" when=${one.last} />`);
  // a conversion with no event of its own still counts
  const converted = entry.converted && !conversions.length
    ? html`<${Deed} name=${t("users.converted")} look="active" />` : null;
  const all = [...found, ...links, ...conversions, converted].filter(Boolean);
  return all.length ? html`<ul class="deeds">${all}</ul>` : html`<span class="faint">${t("users.nothing")}</span>`;
}

const Parts = ({ parts }) => parts.map((one) => html`<span class="part" key=${one.id}><${Name} text=${one.name || one.id} />
  <span class="why">${at(one.last)}</span></span>`);

function Row({ entry, canvas }) {
  const channels = entry.channels.map((channel) => t(`source.channel.${channel}`)).join(", ");
  return html`<tr>
    <td><a class="name" href=${`#/sources/${encodeURIComponent(entry.source)}`}><${Name} text=${entry.name || entry.source} /></a>
      <code>${entry.source.slice(0, 80)}</code> ${entry.state && html`<${Chip} state=${entry.state} />`}
      ${entry.in_control && html` <span class="chip">${t("users.control")}</span>`}</td>
    <td>${entry.received ? at(entry.received.last) : html`<span class="faint">${t("users.not_received")}</span>`}
      <span class="why">${channels}</span>
      ${entry.entered && html`<span class="why">${t("users.entered")} ${at(entry.entered.last)}</span>`}
      ${entry.exited && html`<span class="why">${t("users.exited")} ${at(entry.exited.last)}</span>`}</td>
    ${canvas && html`<td><${Parts} parts=${entry.steps} /></td>`}
    <td><${Parts} parts=${entry.variations} /></td>
    <td><${Deeds} entry=${entry} /></td></tr>`;
}

/** `kind`: campaign or canvas; the entries as the API has them, the last received first. */
export function Received({ kind, entries }) {
  const words = KINDS[kind];
  const canvas = kind === "canvas";
  const when = (entry) => Date.parse((entry.received ?? entry.entered)?.last ?? 0) || 0;
  const rows = entries.toSorted((one, other) => when(other) - when(one));
  return html`<section aria-label=${t(words.title)}><h2>${t(words.title)}</h2>
    <div class="panel flush over">${rows.length === 0 ? html`<p class="none">${t(words.none)}</p>` : html`<table>
      <thead><tr><th>${t(words.name)}</th><th>${t(words.last)}</th>${canvas && html`<th>${t("users.steps")}</th>`}
        <th>${t("users.variations")}</th><th>${t("users.engagement")}</th></tr></thead>
      <tbody>${rows.map((entry) => html`<${Row} key=${entry.source} entry=${entry} canvas=${canvas} />`)}</tbody>
    </table>`}</div></section>`;
}

export function Signals({ user }) {
  const { signals, feed_views: feed } = user;
  const facts = ["hard_bounced", "marked_spam", "invalid_phone"].filter((name) => signals[name]);
  const lists = [
    ...facts.map((name) => [t(`users.signal.${name}`), signals[name]]),
    ...signals.inbound_keywords.map((one) => [t("users.keyword", { word: one.category ?? t("users.none") }), one.last]),
    ...signals.feature_flags.map((one) => [t("users.flag", { id: one.id ?? t("users.none") }), one.last]),
    ...(feed.count ? [[t("users.feed", { count: feed.count }), feed.last]] : []),
  ];
  return html`<section class="panel" aria-label=${t("users.signals")}><h2>${t("users.signals")}</h2>
    ${lists.length === 0 ? html`<p class="soft">${t("users.signals.none")}</p>` : html`<dl>
      ${lists.map(([name, when]) => html`<dt><bdi>${name}</bdi></dt><dd>${when && at(when)}</dd>`)}</dl>`}</section>`;
}
