// The system: workers and shards, the sweep, imports, what is stuck, what was rejected, settings.

import { html } from "./htm.js";
import { get } from "./api.js";
import { Failure, may } from "./parts.js";
import { OLD_MS, usePoll } from "./poll.js";
import { Same } from "./same.js";
import { Rejected, Undelivered } from "./system-records.js";
import { Settings } from "./system-settings.js";
import { Sweep } from "./system-sweep.js";
import { Imports, Shards, Stuck, Workers, age, statuses } from "./system-workers.js";
import { clock, num, size, t } from "./texts.js";

const read = async () => {
  const [group, sweep] = await Promise.all([get("workers"), get("sweep")]);
  return { group, sweep };
};

/** The whole in four figures. */
function Figures({ group }) {
  const all = statuses(group);
  const shards = all.flatMap((status) => status.shards);
  const known = shards.map((shard) => shard.events_per_s).filter((rate) => rate !== null);
  const rate = known.length ? num(Math.round(known.reduce((sum, one) => sum + one, 0))) : t("unknown");
  const behind = shards.reduce((sum, shard) => sum + shard.cursor_lag, 0);
  const oldest = Math.max(0, ...shards.map((shard) => shard.lag_s ?? 0));
  const budget = all.reduce((sum, status) => sum + status.memory.budget, 0);
  const resident = all.reduce((sum, status) => sum + (status.memory.resident ?? 0), 0);
  const ready = shards.filter((shard) => shard.ready).length;
  return html`<div class="grid tiles">
    <div class="panel tile"><span class="soft">${t("system.shards")}</span>
      <b>${t("system.of", { part: ready, whole: group.partitions })}</b><small class="soft">${t("system.ready")}</small></div>
    <div class="panel tile"><span class="soft">${t("system.behind")}</span><b>${num(behind)}</b>
      <small class="soft">${behind ? age(oldest) : t("system.current")}</small></div>
    <div class="panel tile"><span class="soft">${t("system.rate")}</span><b>${rate}</b>
      <small class="soft">${t("system.rate.unit")}</small></div>
    <div class="panel tile"><span class="soft">${t("system.memory")}</span><b>${size(resident)}</b>
      <small class="soft">${t("system.budget", { size: size(budget) })}</small></div>
  </div>`;
}

/** When the figures are of; said loudly if they are old. */
function AsOf({ at, now, error }) {
  if (at === null) return null;
  const age = Math.max(0, now - at);
  const old = age > OLD_MS || error;
  return html`<p class=${old ? "notice" : "soft"}>
    ${t("system.as_of", { time: clock(at) })} ${old && t("system.old", { count: Math.round(age / 1000) })}</p>`;
}

function Overview({ operate, who }) {
  const { found, error, at, now, again } = usePoll(read);
  const samples = may(who, "users.export");
  return html`<div class="head"><div><h1>${t("system")}</h1><span class="soft">${t("system.about")}</span></div>
    <a class="button" href="#/system/settings">${t("system.settings")}</a></div>
  ${!found && !error && html`<p class="none" role="status">${t("loading")}</p>`}
  <${Failure} error=${error} again=${again} />
  ${found && html`<div class="system">
    <${AsOf} at=${at} now=${now} error=${error} />
    <${Figures} group=${found.group} />
    <${Sweep} sweep=${found.sweep} operate=${operate} again=${again} />
    <${Imports} group=${found.group} />
    <${Stuck} group=${found.group} />
    <${Shards} group=${found.group} />
    <${Workers} group=${found.group} />
    <${Same} commands=${["emberline status"]} paths=${["workers", "sweep"]} />
    <${Rejected} samples=${samples} />
    ${operate && html`<${Undelivered} />`}
  </div>`}`;
}

export function System({ name, operate, who }) {
  return name === "settings" ? html`<${Settings} />` : html`<${Overview} operate=${operate} who=${who} />`;
}
