// What a source has done, from its analytics: sums, a chart by day, and parts. Expiry changes nothing here.

import { html, useState } from "./htm.js";
import { get } from "./api.js";
import { DayChart } from "./chart.js";
import { by, byDay, measuresOf, spans, sums } from "./figures.js";
import { short } from "./named.js";
import { Failure, useRead } from "./parts.js";
import { Same } from "./same.js";
import { utcDay } from "./spans.js";
import { clock, num, t } from "./texts.js";

const DIMENSIONS = ["channel", "variation", "step"];
const CHANNELS = ["EMAIL", "PUSH", "SMS", "WHATSAPP", "IN_APP", "CONTENT_CARD", "BANNER", "WEBHOOK", "RCS", "LINE",
  "LIVE_ACTIVITY", "OTHER"];
/** Values of a dimension that are shown at once. */
const MOST = 10;
/** Lines of a long table. */
const MOST_LINES = 100;
/** More days than these are drawn by week: single days would not be seen. */
const MOST_DAYS = 120;
const WEEK = 7;

/** The name of a channel, a variation or a step; `names` are those of the definition. */
function called(dimension, value, names) {
  if (value === null) return t(`source.part.none.${dimension}`);
  if (dimension === "channel") return CHANNELS.includes(value) ? t(`source.channel.${value}`) : value;
  return short(names?.[dimension].get(value) || value);
}

const Bar = ({ share, kind }) => html`<svg class=${`share ${kind}`} viewBox="0 0 100 4" preserveAspectRatio="none"
  aria-hidden="true"><rect width="100" height="4" class="rest" /><rect width=${100 * share} height="4" /></svg>`;

/** A dimension as a table with a bar in each cell. */
function Parts({ totals, dimension, measures, names }) {
  const [all, show] = useState(false);
  const rows = by(totals, dimension, [...(names?.[dimension]?.keys() ?? [])]);
  const most = Math.max(1, ...rows.flatMap(([, counts]) => [...counts.values()]));
  const cell = (counts, kind) => html`<td class="num" key=${kind}>${num(counts.get(kind) ?? 0)}
    <${Bar} share=${(counts.get(kind) ?? 0) / most} kind=${kind} /></td>`;
  const row = ([value, counts]) => html`<tr key=${value}>
    <th scope="row"><bdi>${called(dimension, value, names)}</bdi></th>${measures.map((kind) => cell(counts, kind))}</tr>`;
  return html`<div class="over" tabindex="0" role="region" aria-label=${t(`source.by.${dimension}`)}>
    <table class="parts"><caption>${t(`source.by.${dimension}`)}</caption>
      <thead><tr><td></td>${measures.map((kind) => html`<th scope="col" class="num">${t(`source.measure.${kind}`)}</th>`)}</tr></thead>
      <tbody>${(all ? rows : rows.slice(0, MOST)).map(row)}</tbody></table></div>
    ${rows.length > MOST && !all && html`<button onClick=${() => show(true)}>${t("source.all", { count: rows.length })}</button>`}`;
}

/** The numbers of the chart by day. */
function Days({ days, counts, measures }) {
  return html`<div class="over tall" tabindex="0" role="region" aria-label=${t("source.by.day")}>
    <table><caption>${t("source.by.day")}</caption>
      <thead><tr><th scope="col">${t("source.day")}</th>
        ${measures.map((kind) => html`<th scope="col" class="num">${t(`source.measure.${kind}`)}</th>`)}</tr></thead>
      <tbody>${days.map((ms, at) => counts.some((list) => list[at]) && html`<tr key=${ms}>
        <th scope="row">${utcDay(ms)}</th>${counts.map((list) => html`<td class="num">${num(list[at])}</td>`)}</tr>`)}</tbody>
    </table></div>`;
}

/** Users who did something, each counted once for each line. */
function Users({ unique, names }) {
  const [all, show] = useState(false);
  const shown = DIMENSIONS.filter((dimension) => unique.some((row) => row[dimension] !== null));
  return html`<div class="over tall" tabindex="0" role="region" aria-label=${t("source.unique")}>
    <table><caption>${t("source.unique")}</caption>
      <thead><tr><th scope="col">${t("source.kind")}</th>
        ${shown.map((dimension) => html`<th scope="col">${t(`source.one.${dimension}`)}</th>`)}
        <th scope="col" class="num">${t("source.users")}</th></tr></thead>
      <tbody>${(all ? unique : unique.slice(0, MOST_LINES)).map((row) => html`<tr>
        <th scope="row">${t(`source.measure.${row.kind}`)}</th>
        ${shown.map((dimension) => html`<td><bdi>${row[dimension] === null ? "" : called(dimension, row[dimension], names)}</bdi></td>`)}
        <td class="num">${num(row.users)}</td></tr>`)}</tbody></table></div>
    ${unique.length > MOST_LINES && !all && html`<button onClick=${() => show(true)}>
      ${t("source.all", { count: unique.length })}</button>`}`;
}

/** `definition`: as GET /definitions/KEY, for names; or null. */
export function Analytics({ source, definition }) {
  const address = `sources/${encodeURIComponent(source)}/analytics`;
  // figures may cost the shards a lot, so they are read when the reader asks
  const [found, error, again] = useRead(() => get(address).then((figures) => ({ ...figures, at: Date.now() })), [source]);
  const [table, show] = useState(false);
  const named = (parts) => new Map(parts.map((part) => [part.id, part.name]));
  const names = definition && { step: named(definition.steps), variation: named(definition.variations) };
  const measures = found ? measuresOf(found.totals) : [];
  const counts = found && sums(found.totals);
  const days = found && byDay(found.totals, measures);
  const span = days?.days.length ? { from: utcDay(days.days[0]), to: utcDay(days.days.at(-1)) } : null;
  const weeks = days?.days.length > MOST_DAYS;
  const drawn = weeks ? spans(days, WEEK) : days;
  const dimensions = found ? DIMENSIONS.filter((name) => found.totals.some((row) => row[name] !== null)) : [];
  return html`<section class="panel analytics" aria-labelledby="engagement">
    <h2><span id="engagement">${t("source.engagement")}</span> <small>${t("source.engagement.same")}</small></h2>
    <${Failure} error=${error} again=${again} />
    ${!found && !error && html`<p class="soft" role="status">${t("loading")}</p>`}
    ${found && !span && html`<p class="soft">${t("source.engagement.none")}</p>`}
    ${found && html`<p class="cond"><small>${t("source.figures.at", { time: clock(found.at) })}</small>
      <button class="link" onClick=${again}>${t("source.figures.again")}</button></p>`}
    ${span && html`
      <dl class="measures">${measures.map((kind) => html`<div key=${kind}>
        <dt>${t(`source.measure.${kind}`)}</dt><dd>${num(counts.get(kind))}</dd></div>`)}</dl>
      <${DayChart} ...${drawn} size=${weeks ? WEEK : 1} measures=${measures}
        label=${t(weeks ? "source.chart.weeks" : "source.chart", span)} />
      <p class="cond"><small>${t(weeks ? "source.chart.span_weeks" : "source.chart.span", span)}</small>
        <button class="link" aria-expanded=${table} onClick=${() => show(!table)}>
          ${t(table ? "source.table.hide" : "source.table.show")}</button></p>
      ${table && html`<${Days} ...${days} measures=${measures} /><${Users} unique=${found.unique_users} names=${names} />`}
      ${dimensions.map((dimension) => html`<${Parts} key=${dimension} totals=${found.totals} dimension=${dimension}
        measures=${measures} names=${names} />`)}`}
    <${Same} paths=${[address]} />
  </section>`;
}
