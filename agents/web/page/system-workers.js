// Shards with their owners, workers and what they say of each other, imports, and stuck work.

import { html } from "./htm.js";
import { Name } from "./named.js";
import { Chip, Moment } from "./parts.js";
import { duration } from "./spans.js";
import { num, size, t } from "./texts.js";

/** The status of each worker that answered. */
export const statuses = (group) => group.workers.map((one) => one.status).filter(Boolean);

const PHASES = { running: "active", recovering: "moving", starting: "moving", stopped: "bad" };
const STATES = { running: "moving", finished: "active", failed: "bad", lost: "due" };

/** What a worker says in its own words: English, as programs get it. */
const Said = ({ text }) => html`<span class="why" lang="en"><bdi>${text.slice(0, 300)}</bdi></span>`;

/** Seconds: with one decimal below ten. */
export const age = (value) => t("system.seconds", { count: value < 10 ? Math.round(value * 10) / 10 : Math.round(value) });

export function Shards({ group }) {
  const held = new Map();
  for (const { address, status } of group.workers) {
    for (const shard of status?.shards ?? []) held.set(shard.partition, { ...shard, address });
  }
  const all = Array.from({ length: group.partitions }, (_, partition) => held.get(partition) ?? { partition });
  const row = (shard) => {
    if (!shard.address) {
      return html`<tr key=${shard.partition}><td class="num">${num(shard.partition)}</td>
        <td colspan="5"><span class="chip bad">${t("system.unowned")}</span></td></tr>`;
    }
    const backs = Object.values(shard.held_back).reduce((sum, one) => sum + one, 0);
    return html`<tr key=${shard.partition}><td class="num">${num(shard.partition)}</td>
      <td><span class=${`chip ${PHASES[shard.phase] ?? ""}`}>${t(`system.phase.${shard.phase}`)}</span>
        ${shard.waits_for && html`<span class="why">${t("system.waits")}</span><${Said} text=${shard.waits_for} />`}</td>
      <td class="num">${num(shard.cursor_lag)}${backs > 0 && html`<span class="why">${t("system.held_back", { count: backs })}</span>`}</td>
      <td class="num">${shard.lag_s === null ? t("unknown") : age(shard.lag_s)}</td>
      <td class="num">${shard.events_per_s === null ? t("unknown") : num(Math.round(shard.events_per_s))}</td>
      <td><code class="whole">${shard.address}</code></td></tr>`;
  };
  return html`<section aria-label=${t("system.shards")}><h2>${t("system.shards")}</h2>
    <div class="panel flush over" tabindex="0"><table>
      <thead><tr><th class="num">${t("system.shard")}</th><th>${t("state")}</th><th class="num">${t("system.behind")}</th>
        <th class="num">${t("system.lag")}</th><th class="num">${t("system.rate")}</th><th>${t("system.worker")}</th></tr></thead>
      <tbody>${all.map(row)}</tbody></table></div></section>`;
}

/** The workers whose word differs from what the others say. */
function differences(group) {
  const all = statuses(group);
  const generations = new Set(all.map((status) => status.generation));
  const coordinators = new Set(all.map((status) => status.coordinator_address));
  const places = new Set(all.map((status) => JSON.stringify(status.directory)));
  return [
    generations.size > 1 && "system.differ.generation",
    coordinators.size > 1 && "system.differ.coordinator",
    places.size > 1 && "system.differ.directory",
  ].filter(Boolean);
}

function Worker({ worker }) {
  const { address, status, trouble } = worker;
  if (!status) {
    return html`<tr><td><code class="whole">${address}</code></td><td colspan="4"><span class="chip bad">${t("system.silent")}</span>
      <${Said} text=${trouble ?? ""} /></td></tr>`;
  }
  const notes = [
    status.keys && [t("system.keys"), status.keys],
    status.awaited.length && [t("system.awaits"), status.awaited.join(", ")],
    status.topics.length && [t("system.topics", { count: status.topics.length }), status.topics.map((one) =>
      `${one.topic}: ${one.setting} ${one.found}, ${one.expected}. ${one.remedy}`).join("; ")],
    status.unreadable.count && [t("system.unreadable", { count: status.unreadable.count }),
      Object.entries(status.unreadable.first).map(([key, why]) => `${key}: ${why}`).join("; ")],
  ].filter(Boolean);
  const resident = status.memory.resident;
  return html`<tr><td><code class="whole">${address}</code>
      ${status.coordinator && html`<span class="why"><span class="chip used">${t("system.coordinator")}</span></span>`}</td>
    <td><span class=${`chip ${status.ready ? "active" : "moving"}`}>${t(status.ready ? "system.is_ready" : "system.not_ready")}</span>
      ${notes.map(([what, why]) => html`<span class="why">${what}</span><${Said} text=${why} />`)}</td>
    <td class="num">${num(status.shards.length)}</td><td class="num">${num(status.generation)}</td>
    <td>${resident === null ? t("unknown") : t("system.memory.of", { used: size(resident), budget: size(status.memory.budget) })}
      ${resident !== null && html`<progress aria-label=${t("system.memory")} value=${resident} max=${Math.max(status.memory.budget, resident, 1)}></progress>`}</td></tr>`;
}

export function Workers({ group }) {
  const found = differences(group);
  return html`<section aria-label=${t("system.workers")}><h2>${t("system.workers")}</h2>
    ${found.length > 0 && html`<div class="notice" role="status"><b>${t("system.differ")}</b>
      <ul>${found.map((key) => html`<li>${t(key)}</li>`)}</ul></div>`}
    <div class="panel flush over" tabindex="0"><table>
      <thead><tr><th>${t("system.worker")}</th><th>${t("state")}</th><th class="num">${t("system.shards")}</th>
        <th class="num">${t("system.generation")}</th><th>${t("system.memory")}</th></tr></thead>
      <tbody>${group.workers.map((worker) => html`<${Worker} key=${worker.address} worker=${worker} />`)}</tbody></table></div></section>`;
}

export function Imports({ group }) {
  const all = statuses(group).flatMap((status) => status.imports).toSorted((one, other) => other.began - one.began);
  if (!all.length) return null;
  return html`<section aria-label=${t("system.imports")}><h2>${t("system.imports")}</h2>
    <div class="panel flush over" tabindex="0"><table>
      <thead><tr><th>${t("system.file")}</th><th>${t("state")}</th><th class="num">${t("system.records")}</th>
        <th>${t("system.progress")}</th><th>${t("system.began")}</th></tr></thead>
      <tbody>${all.map((one) => html`<tr key=${one.id}><td><${Name} text=${one.file} /></td>
        <td><span class=${`chip ${STATES[one.state] ?? ""}`}>${t(`system.import.${one.state}`)}</span>
          ${one.state === "lost" && html`<span class="why">${t("system.import.lost.about")}</span>`}</td>
        <td class="num">${num(one.records)}<span class="why">${t("system.per_second", { count: Math.round(one.per_second) })}</span>
          ${one.bad > 0 && html`<span class="why bad">${t("system.bad", { count: one.bad })}</span>`}</td>
        <td>${t("system.memory.of", { used: size(one.done_bytes), budget: size(one.total_bytes) })}
          <progress aria-label=${one.file.slice(0, 80)} value=${one.done_bytes} max=${Math.max(one.total_bytes, 1)}></progress>
          ${one.state === "running" && one.seconds_left !== null && html`<span class="why">
            ${t("left", { time: duration(one.seconds_left) })}</span>`}</td>
        <td><${Moment} ms=${one.began} /></td></tr>`)}</tbody></table></div></section>`;
}

export function Stuck({ group }) {
  // every worker reads the same states: the first one that has read them speaks for all
  const found = statuses(group)[0]?.stuck;
  if (!found?.count) return null;
  return html`<section class="notice" role="status" aria-label=${t("system.stuck")}>
    <b>${t("system.stuck.count", { count: found.count })}</b> ${t("system.stuck.about")}
    <ul class="plain">${found.first.map((one) => html`<li key=${one.source}>
      <a class="more" href=${`#/sources/${encodeURIComponent(one.source)}`}><${Name} text=${one.name || one.source} /></a>
      ${" "}<${Chip} state=${one.state} /> ${t("system.stuck.shards", { shards: one.shards.join(", ") })}
      ${" "}<small><${Moment} ms=${one.since} /></small></li>`)}</ul></section>`;
}
