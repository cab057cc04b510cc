// Periods and days that the API gives as text, in the form of the reader's language.

import { formatter } from "./texts.js";

const PERIOD = /^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/;
const UNITS = ["year", "month", "week", "day", "hour", "minute", "second"];

/** An ISO 8601 period, such as P3M: "3 months"; another text as it is. */
export function period(text) {
  const found = PERIOD.exec(text);
  if (!found) return text;
  const named = UNITS.map((unit, at) => [unit, Number(found[at + 1] ?? 0)]).filter(([, count]) => count);
  const form = (unit) => formatter(Intl.NumberFormat, { style: "unit", unit, unitDisplay: "long" });
  const texts = named.map(([unit, count]) => form(unit).format(count));
  return formatter(Intl.ListFormat, { type: "unit" }).format(texts);
}

/** The day of a date such as 2026-04-01, which is of UTC; `form`: of Intl.DateTimeFormat. */
export const utcDay = (date, form = { dateStyle: "medium" }) =>
  formatter(Intl.DateTimeFormat, { ...form, timeZone: "UTC" }).format(new Date(date));

/** So many seconds in the unit that suits them: "42 seconds", "3 minutes", "1.5 hours". */
export function duration(seconds) {
  const [unit, size, digits] = seconds < 90 ? ["second", 1, 0] : seconds < 5_400 ? ["minute", 60, 0] : ["hour", 3_600, 1];
  const form = { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: digits };
  return formatter(Intl.NumberFormat, form).format(Math.ceil(10 ** digits * seconds / size) / 10 ** digits);
}
