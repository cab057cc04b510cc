// How old the states are, if they are old: said wherever the reader is on the page.

import { html, useEffect, useState } from "./htm.js";
import { live } from "./live.js";
import { ago, clock, t } from "./texts.js";

const WHY = {
  busy: "link.busy",
  forbidden: "link.forbidden",
  gone: "link.gone",
  kafka: "link.kafka",
  silent: "link.silent",
  starting: "link.starting",
};

/** Nothing while the states are no older than 2 s. */
export function LinkNotice() {
  const [now, tick] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => tick(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const old = !live.up && (live.since !== null || live.why);
  const since = old && live.since !== null;
  // the region is always there: screen readers tell what changes in a region that they know
  return html`<div class=${old ? "stale notice" : "stale"}>
    <div role="status">
      ${old && live.why && t(WHY[live.why])} ${since && t("link.since", { time: clock(live.since) })}
    </div>
    ${since && html`<span>${ago(Math.max(now, Date.now()) - live.since)}</span>`}
    ${old && live.why !== "forbidden" && html`<button onClick=${() => live.now()}>${t("link.now")}</button>`}
  </div>`;
}
