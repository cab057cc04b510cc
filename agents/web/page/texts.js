// The reader's language: texts, numbers, sizes, dates and times.

export const LANGUAGES = {
  en: "English",
  ja: "日本語",
  fr: "Français",
  ko: "한국어",
  "pt-BR": "Português (Brasil)",
  es: "Español",
};
const TRIES = 12;
const KEPT = "emberline-language";

let texts = {};
export let language = "en";
/** The language as the reader's region writes it: en-GB has other dates than en. */
export let locale = "en";

/** The language that was chosen, else the first of the browser's that there is. */
function preferred() {
  const wanted = [localStorage.getItem(KEPT), ...navigator.languages].filter(Boolean);
  for (const one of wanted) {
    const short = one.split("-")[0].toLowerCase();
    const found = Object.keys(LANGUAGES).find((name) => name === one || name.split("-")[0] === short);
    if (found) return found;
  }
  return "en";
}

/** A file of this version of the page: while workers are replaced, some have others; see boot.js. */
async function read(file) {
  for (let turn = 1; turn <= TRIES; turn += 1) {
    const answer = await fetch(file, { cache: turn === 1 ? "default" : "reload" }).catch(() => null);
    if (answer?.ok) return answer.json();
    await new Promise((over) => setTimeout(over, 100 * turn * Math.random()));
  }
  // the page of another version has the language that was chosen
  location.reload();
  return texts;
}

/** Load the texts of a language; without one, of the preferred language. */
export async function load(chosen) {
  if (chosen) localStorage.setItem(KEPT, chosen);
  language = chosen || preferred();
  const own = (one) => one.split("-")[0] === language.split("-")[0];
  locale = navigator.languages.find(own) ?? language;
  texts = await read(new URL(`${language}.json`, import.meta.url));
  document.documentElement.lang = language;
}

/**
 * The text of a key, with the parts in braces filled in. Parts that are numbers get the form of the
 * language. A text with a form for one and a form for others takes the one that `count` asks for.
 */
export function t(key, parts = {}) {
  const found = texts[key] ?? key;
  const text = typeof found === "string" ? found : forms(found, parts.count);
  const shown = (part) => (typeof part === "number" ? num(part) : part);
  return text.replace(/{(\w+)}/g, (whole, name) => shown(parts[name]) ?? whole);
}

const forms = (found, count) => found[new Intl.PluralRules(language).select(count)] ?? found.other;

const made = new Map();

/** A formatter of Intl, made once: to make one takes much longer than to use it. There are few forms. */
export function formatter(Kind, form = {}) {
  const key = `${locale} ${Kind.name} ${JSON.stringify(form)}`;
  if (!made.has(key)) made.set(key, new Kind(locale, form));
  return made.get(key);
}

export const num = (value) => formatter(Intl.NumberFormat).format(value);

export function size(bytes) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const step = bytes > 0 ? Math.min(Math.floor(Math.log10(bytes) / 3), units.length - 1) : 0;
  const form = { style: "unit", unit: units[step], unitDisplay: step ? "short" : "long", maximumFractionDigits: 1 };
  return formatter(Intl.NumberFormat, form).format(bytes / 1000 ** step);
}

export const day = (ms) => formatter(Intl.DateTimeFormat, { dateStyle: "long" }).format(ms);

/** A day with few letters, of this zone or another. */
export const date = (ms, timeZone) => formatter(Intl.DateTimeFormat, { dateStyle: "medium", timeZone }).format(ms);

/** A moment in the reader's zone, with UTC beside: its time, and its day where that is another one. */
export function moment(ms) {
  const here = formatter(Intl.DateTimeFormat, { dateStyle: "medium", timeStyle: "short" }).format(ms);
  const same = date(ms) === date(ms, "UTC");
  const form = { ...(!same && { dateStyle: "medium" }), timeStyle: "short", timeZone: "UTC" };
  return `${here} (${formatter(Intl.DateTimeFormat, form).format(ms)}\u00a0UTC)`;
}

/** A day that is nearer than this is told with its time: "until today" says too little. */
const NEAR_MS = 2 * 86_400_000;
const near = (ms) => Math.abs(ms - Date.now()) < NEAR_MS;
/** And one that is nearer than this with its seconds. */
const SOON_MS = 600_000;
const timeStyle = (ms) => (Math.abs(ms - Date.now()) < SOON_MS ? "medium" : "short");

/** When data expires, within a sentence: the day, and with its time if that is soon. */
export function due(ms) {
  if (!near(ms)) return day(ms);
  return formatter(Intl.DateTimeFormat, { dateStyle: "long", timeStyle: timeStyle(ms) }).format(ms);
}

/** The same with few letters, for tables. */
export const dueDate = (ms) =>
  near(ms) ? formatter(Intl.DateTimeFormat, { dateStyle: "medium", timeStyle: timeStyle(ms) }).format(ms) : date(ms);

export const clock = (ms) => formatter(Intl.DateTimeFormat, { timeStyle: "medium" }).format(ms);

/** A period that ended now, in words: "12 seconds ago". */
export function ago(ms) {
  const [size, unit] = ms < 120_000 ? [1_000, "second"] : ms < 7_200_000 ? [60_000, "minute"] : [3_600_000, "hour"];
  return new Intl.RelativeTimeFormat(language).format(-Math.round(ms / size), unit);
}
