// What the workers say against a filter, at the condition where it belongs.

import { path, placeOf, shape } from "./audience-tree.js";
import { isolated, short } from "./named.js";
import { t } from "./texts.js";

/** Codes that have a sentence of their own. */
const CODES = [
  "bad_node", "unknown_filter", "missing_argument", "unknown_argument", "bad_argument", "bad_time", "no_bound",
  "both_bounds", "impossible_range", "too_deep", "too_large", "unknown_segment", "segment_cycle",
  "unreadable_segment", "unknown_source", "unknown_step", "unknown_variation", "unknown_tag", "legacy_deleted",
  "source_hidden", "ambiguous_source",
];

const SHOWN = 5;

/** The path of each node of the form. */
function places(node, steps = []) {
  const word = shape(node);
  const here = path(steps);
  if (word === "not") return [here, ...places(node.not, [...steps, "not"])];
  if (word !== "and" && word !== "or") return [here];
  return [here, ...node[word].flatMap((part, place) => places(part, [...steps, word, place]))];
}

function named(one) {
  const name = isolated(short(one.name || one.source));
  return t("audience.named", { name, state: t(`state.${one.state}`) });
}

/** One refusal of a leaf in the reader's language; the server's sentence is beside it where it says more. */
export function sentence(one) {
  const text = CODES.includes(one.code) ? t(`audience.code.${one.code}`) : t("audience.code.other");
  const sources = (one.sources ?? []).filter((each) => each.state);
  const more = sources.length > SHOWN ? t("audience.more", { count: sources.length - SHOWN }) : "";
  const segments = (one.through ?? []).map((key) => isolated(short(key))).join(" → ");
  const through = segments && t("audience.through", { segments });
  const facts = [...sources.slice(0, SHOWN).map(named), more, through].filter(Boolean).join(" ");
  return facts ? `${text} ${facts}` : text;
}

const TOLD = ["source_hidden", "legacy_deleted"];

/** Map of path to [{ text, detail, field }]: what is said at each node of the form. */
export function faultsOf(error, tree) {
  const found = new Map();
  const known = places(tree);
  const say = (one) => {
    const place = one.path && placeOf(one.path, known);
    if (!place) return;
    const rest = one.path.slice(place.length);
    const field = /^\.(\w+)$/.exec(rest)?.[1];
    const detail = TOLD.includes(one.code) ? "" : one.detail;
    found.set(place, [...(found.get(place) ?? []), { text: sentence(one), detail, field }]);
  };
  const document = error?.document ?? {};
  const refusals = document.refusals ?? (document.path ? [{ ...document, code: error.code }] : []);
  refusals.forEach(say);
  return found;
}
