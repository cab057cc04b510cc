// A chart by day, drawn by uPlot; colours come from the tokens of style.css.

import { html, useEffect, useRef, useState } from "./htm.js";
import { utcDay } from "./spans.js";
import { formatter, locale, num, t } from "./texts.js";

const HEIGHT = 220;
const DAY_S = 86_400;
const STEPS = [1, 2, 5, 7, 14, 30, 61, 91, 183, 365, 730].map((days) => days * DAY_S);
/** The token of each measure's colour, and the dashes of its line. */
const LOOKS = {
  received: ["--ember"], entered: ["--amber"], opened: ["--blue"], machine_opened: ["--blue", [4, 4]],
  clicked: ["--violet"], bot_clicked: ["--violet", [4, 4]], converted: ["--green"], exited: ["--faint"],
  control: ["--soft", [2, 3]],
};

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const compact = (value) => formatter(Intl.NumberFormat, { notation: "compact" }).format(value);

/** What uPlot is told: the first measure as bars, the others as lines with points. */
function options(uPlot, { days, measures, size, width, point }) {
  const half = size * DAY_S / 2;
  const [line, faint] = [token("--line"), token("--soft")];
  const years = new Date(days.at(-1)).getUTCFullYear() !== new Date(days[0]).getUTCFullYear();
  const form = { day: "numeric", month: "short", ...(years && { year: "2-digit" }) };
  const axis = { stroke: faint, ticks: { stroke: line, width: 1, size: 4 }, font: "12px system-ui, sans-serif" };
  const bars = uPlot.paths.bars({ size: [0.7, 28], radius: 0.15 });
  const series = measures.map((kind, at) => {
    const [name, dash] = LOOKS[kind];
    const stroke = token(name);
    if (!at) return { stroke, fill: stroke, width: 0, paths: bars, points: { show: false } };
    return { stroke, dash, width: 2, points: { show: days.length < 40, size: 6, fill: token("--panel"), filter: some } };
  });
  return {
    width, height: HEIGHT, series: [{}, ...series], legend: { show: false },
    tzDate: (s) => uPlot.tzDate(new Date(s * 1000), "Etc/UTC"),
    scales: {
      x: { range: () => [days[0] / 1000 - half, days.at(-1) / 1000 + half] },
      y: { range: (_, low, high) => [0, Math.max(1, high * 1.08)] },
    },
    axes: [
      { ...axis, incrs: STEPS, space: years ? 84 : 64, size: 36, grid: { show: false },
        values: (_, splits) => splits.map((s) => utcDay(s * 1000, form)) },
      { ...axis, size: 56, grid: { stroke: line, width: 1 }, incrs: [1, 2, 5].flatMap(tens).sort((a, b) => a - b),
        values: (_, splits) => splits.map(compact) },
    ],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    hooks: { setCursor: [(u) => point(u.cursor.idx ?? null)] },
  };
}

/** Points only where something happened. */
const some = (plot, series) => plot.data[series].flatMap((count, at) => (count ? [at] : []));

const tens = (step) => Array.from({ length: 12 }, (_, power) => step * 10 ** power);

/**
 * `days`: ms, the first of each span of `size` days; `counts`: a list for each of `measures`; `label`: what the
 * drawing shows, in words.
 */
export function DayChart({ days, measures, counts, size, label }) {
  const box = useRef();
  const [at, point] = useState(null);
  useEffect(() => {
    let plot = null;
    let here = true;
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const draw = async () => {
      const { default: uPlot } = await import("./uplot.js");
      if (!here || !box.current) return;
      plot?.destroy();
      const data = [days.map((ms) => ms / 1000), ...counts];
      const told = { days, measures, size, width: box.current.clientWidth, point };
      plot = new uPlot(options(uPlot, told), data, box.current);
    };
    const sized = new ResizeObserver(([{ contentRect }]) => plot?.setSize({ width: contentRect.width, height: HEIGHT }));
    draw();
    sized.observe(box.current);
    dark.addEventListener("change", draw);
    return () => {
      here = false;
      sized.disconnect();
      dark.removeEventListener("change", draw);
      plot?.destroy();
    };
  }, [JSON.stringify([days, counts, locale])]);
  const value = (index) => at === null ? "" : num(counts[index][at] ?? 0);
  return html`<div class="legend" aria-hidden="true">
      ${measures.map((kind, index) => html`<span key=${kind} class=${`key ${kind}`}><svg viewBox="0 0 14 14">
        <path d="M1 7H13" /></svg>${t(`source.measure.${kind}`)} <b>${value(index)}</b></span>`)}
      <span class="soft">${at === null ? "" : utcDay(days[at])}</span>
    </div>
    <div ref=${box} class="chart" role="img" aria-label=${label}></div>`;
}
