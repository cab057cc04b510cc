// The filter of an audience as a tree: what the form shows is this JSON itself, so nothing of it is lost.
// `steps` is the way to a node: ["and", 0, "not"]; `path` is the same as the server writes it: $.and[0].not

export const EMPTY = { and: [] };

const isObject = (node) => node !== null && typeof node === "object" && !Array.isArray(node);

/** What a node is: "leaf", "and", "or", "not"; "other" is what the form cannot show. */
export function shape(node) {
  if (!isObject(node)) return "other";
  if ("filter" in node) return typeof node.filter === "string" ? "leaf" : "other";
  const words = Object.keys(node);
  if (words.length !== 1) return "other";
  const [word] = words;
  if (word === "not") return "not";
  return ["and", "or"].includes(word) && Array.isArray(node[word]) ? word : "other";
}

const written = (step) => (typeof step === "number" ? `[${step}]` : `.${step}`);

export const path = (steps) => `$${steps.map(written).join("")}`;

export const at = (tree, steps) => steps.reduce((node, step) => node[step], tree);

/** The tree with another node at that place. */
export function put(tree, steps, node) {
  if (!steps.length) return node;
  const [step, ...rest] = steps;
  const copy = Array.isArray(tree) ? [...tree] : { ...tree };
  copy[step] = put(tree[step], rest, node);
  return copy;
}

/** The tree without the node at that place; a `not` goes with what it negates. */
export function without(tree, steps) {
  if (!steps.length) return EMPTY;
  const above = steps.slice(0, -1);
  const parent = at(tree, above);
  if (!Array.isArray(parent)) return without(tree, above);
  return put(tree, above, parent.filter((_, place) => place !== steps.at(-1)));
}

/** The tree with one more node at the end of the group at that place. */
export function added(tree, steps, node) {
  const group = at(tree, steps);
  const word = shape(group);
  return put(tree, steps, { [word]: [...group[word], node] });
}

/** Each leaf and each part that is no filter: [{ steps, node }], in the order of the form. */
export function leaves(node, steps = []) {
  const word = shape(node);
  if (word === "not") return leaves(node.not, [...steps, "not"]);
  if (word !== "and" && word !== "or") return [{ steps, node }];
  return node[word].flatMap((part, place) => leaves(part, [...steps, word, place]));
}

const FITS = {
  choice: (value) => ["string", "number"].includes(typeof value),
  number: (value) => Number.isInteger(value),
};
const isText = (value) => typeof value === "string";

/** The members of a leaf that the form has no field for: they are shown as they are, and kept. */
export function unshown(node, described) {
  const fields = new Map(described.fields.map((field) => [field.name, field]));
  return Object.entries(node).filter(([name, value]) => {
    if (name === "filter" || value === null) return false;
    if (name === "has") return typeof value !== "boolean";
    const field = fields.get(name);
    return !field || !(FITS[field.type] ?? isText)(value);
  });
}

/** Names of what a leaf lacks before it can be asked. */
export function missing(node, described) {
  const empty = (name) => node[name] === undefined || node[name] === null || node[name] === "";
  const found = described.fields.filter((field) => field.required && empty(field.name)).map((field) => field.name);
  if (described.bounds === "one at least" && empty("after") && empty("before")) found.push("after");
  return found;
}

/** Another filter at the same place: what both take stays. */
export function renamed(node, described) {
  const kept = described.fields.map(({ name }) => [name, node[name]]).filter(([, value]) => value !== undefined);
  const leaf = { filter: described.filter, ...Object.fromEntries(kept) };
  for (const field of described.fields) {
    if (field.type === "choice" && field.required && !(field.name in leaf)) leaf[field.name] = field.values[0];
  }
  if (described.bounds === "one at most" && "after" in leaf) delete leaf.before;
  return node.has === false ? { ...leaf, has: false } : leaf;
}

/** A leaf with another value of a member; undefined and an empty text take it away. */
export function changed(node, name, value) {
  const { [name]: _, ...rest } = node;
  return value === undefined || value === "" ? rest : { ...node, [name]: value };
}

/** The place of the leaf that an error names, as `path`; the longest that fits, or null. */
export function placeOf(found, paths) {
  const within = (one) => found === one || found.startsWith(`${one}.`) || found.startsWith(`${one}[`);
  return paths.filter(within).sort((one, other) => other.length - one.length)[0] ?? null;
}

/** So many levels nobody builds, and no worker answers: to draw them would take the stack. */
const MOST_LEVELS = 200;

/** Whether a value is nested more deeply than any form shows. */
export function tooDeep(value) {
  let row = [value];
  for (let level = 0; row.length; level += 1) {
    if (level > 2 * MOST_LEVELS) return true; // a group is an object and a list
    row = row.flatMap((one) => (one !== null && typeof one === "object" ? Object.values(one) : []));
  }
  return false;
}

/** How many levels the tree has. */
export function levels(node) {
  const word = shape(node);
  if (word === "not") return 1 + levels(node.not);
  if (word === "and" || word === "or") return 1 + Math.max(0, ...node[word].map(levels));
  return 1;
}

/** The filter in a text, alone or as the body of a question: { filter, on_expired }. Throws SyntaxError. */
export function read(text) {
  const found = JSON.parse(text);
  const isBody = isObject(found) && isObject(found.filter);
  return isBody ? { filter: found.filter, exclude: found.on_expired === "exclude" } : { filter: found, exclude: null };
}
