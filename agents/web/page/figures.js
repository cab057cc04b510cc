// Sums of a source's analytics. Pure.

/** Kinds of interactions, in the order in which they are shown. */
const MEASURES = [
  "received", "entered", "opened", "machine_opened", "clicked", "bot_clicked", "converted", "exited", "control",
];
const DAY_MS = 86_400_000;
/** So many days are drawn: stray events of an early time must not cost the reader the page. */
const MOST_DAYS = 4_000;

/** The measures that occur, in order. */
export const measuresOf = (totals) => {
  const found = new Set(totals.map((row) => row.kind));
  return MEASURES.filter((kind) => found.has(kind));
};

/** The sum of each measure. */
export const sums = (totals) => grouped(totals, () => "").get("") ?? new Map();

/**
 * Sums by the values of a dimension (`channel`, `variation`, `step`): [[value, Map of sums]]. Those that `order`
 * names come first, in its order; then the others, largest first; what has no value is last.
 */
export function by(totals, dimension, order = []) {
  const found = grouped(totals, (row) => row[dimension]);
  const places = new Map(order.map((value, at) => [value, at]));
  const place = (value) => (value === null ? order.length + 1 : places.get(value) ?? order.length);
  const largest = (counts) => Math.max(...counts.values());
  return [...found].sort(([a, ofA], [b, ofB]) => place(a) - place(b) || largest(ofB) - largest(ofA));
}

/** Sums by day, with the days between, as `days` (ms, UTC) and one list of counts for each of `measures`. */
export function byDay(totals, measures) {
  const found = grouped(totals, (row) => row.day);
  const known = [...found.keys()].sort();
  if (!known.length) return { days: [], counts: measures.map(() => []) };
  const last = Date.parse(known.at(-1));
  const first = Math.max(Date.parse(known[0]), last - (MOST_DAYS - 1) * DAY_MS);
  const days = Array.from({ length: (last - first) / DAY_MS + 1 }, (_, at) => first + at * DAY_MS);
  const name = (ms) => new Date(ms).toISOString().slice(0, 10);
  const counts = measures.map((kind) => days.map((ms) => found.get(name(ms))?.get(kind) ?? 0));
  return { days, counts };
}

/** Sums of `size` days each, named by their first days; the last may have fewer. */
export function spans({ days, counts }, size) {
  const starts = days.filter((_, at) => at % size === 0);
  const sum = (list, at) => list.slice(at * size, (at + 1) * size).reduce((total, count) => total + count, 0);
  return { days: starts, counts: counts.map((list) => starts.map((_, at) => sum(list, at))) };
}

function grouped(totals, key) {
  const found = new Map();
  for (const row of totals) {
    const name = key(row);
    if (!found.has(name)) found.set(name, new Map());
    const counts = found.get(name);
    counts.set(row.kind, (counts.get(row.kind) ?? 0) + row.count);
  }
  return found;
}
