// Where each definition stands in the drawing of what uses a source. Pure.

export const BOX = { width: 208, height: 60, across: 68, down: 18 };

/** The chain of a reason, from the source to the root. */
const chainOf = (source, reason) => [source, ...[...reason.through].reverse(), reason.root];

/**
 * `nodes`: [{ key, x, y, root }], `edges`: [{ from, to, path }] where `from` uses `to`. Columns go from the
 * source on the left to the roots; a definition stands right of all that it uses.
 */
export function drawing(source, reasons) {
  const chains = reasons.map((reason) => chainOf(source, reason));
  const column = new Map([[source, 0]]);
  const links = new Map();
  for (const chain of chains) {
    for (let at = 1; at < chain.length; at += 1) links.set(JSON.stringify([chain[at], chain[at - 1]]), [chain[at], chain[at - 1]]);
  }
  // as often as a chain is long, at most: then every column is right, and a circle does no harm
  for (let turn = 0; turn < Math.max(0, ...chains.map((chain) => chain.length)); turn += 1) {
    for (const [user, used] of links.values()) {
      column.set(user, Math.max(column.get(user) ?? 0, (column.get(used) ?? 0) + 1));
    }
  }
  const roots = new Set(reasons.map((reason) => reason.root));
  const columns = [];
  for (const [key, at] of column) (columns[at] ??= []).push(key);
  const most = Math.max(...columns.map((keys) => keys?.length ?? 0));
  const height = most * (BOX.height + BOX.down) - BOX.down;
  const places = new Map();
  columns.forEach((keys, at) => {
    const top = (height - (keys.length * (BOX.height + BOX.down) - BOX.down)) / 2;
    keys.forEach((key, row) => {
      places.set(key, { x: at * (BOX.width + BOX.across), y: top + row * (BOX.height + BOX.down) });
    });
  });
  const nodes = [...places].map(([key, place]) => ({ key, ...place, root: roots.has(key) }));
  const edges = [...links.values()].map(([from, to]) => ({ from, to, path: curve(places.get(from), places.get(to)) }));
  return { nodes, edges, width: columns.length * (BOX.width + BOX.across) - BOX.across, height };
}

/** From the left side of the user to the right side of what it uses; the arrow's head needs some room. */
function curve(from, to) {
  const [x1, y1] = [from.x, from.y + BOX.height / 2];
  const [x2, y2] = [to.x + BOX.width + 7, to.y + BOX.height / 2];
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}
