// What the page is looking at, as plain values: to and from the address, and to a request. No DOM here.

export const START = Object.freeze({ collection: "", words: "", id: "", label: "", min: "", max: "" });

const KEYS = { collection: "c", words: "q", id: "id", label: "label", min: "min", max: "max" };

/** The state in a query string such as "?c=shop&q=lamp". */
export function parse(search) {
  const parameters = new URLSearchParams(search);
  return Object.fromEntries(Object.entries(KEYS).map(([name, key]) => [name, parameters.get(key) ?? ""]));
}

/** The query string of a state; empty parts are left out. An uploaded picture never stands in it. */
export function format(state) {
  const parameters = new URLSearchParams();
  for (const [name, key] of Object.entries(KEYS)) {
    if (state[name]) parameters.set(key, state[name]);
  }
  return "?" + parameters;
}

/** Whether there is anything to search for. A label alone is: all its pictures. */
export function isSearch(state, file) {
  return Boolean(file || state.words || state.id || state.label || state.min || state.max);
}

/** The body of the search request. Without an example the most typical pictures come first. */
export function request(state, about, file) {
  const positive = [];
  if (state.words) positive.push({ text: state.words });
  if (state.id && !file) positive.push({ id: state.id });
  const filter = {};
  if (state.min !== "") filter.price_min = Number(state.min);
  if (state.max !== "") filter.price_max = Number(state.max);
  const priced = about.prices[0];
  if (priced?.currency && (state.min !== "" || state.max !== "")) filter.currency = priced.currency;
  return { positive, filter, limit: 40, ...(state.label ? { label: state.label } : {}) };
}

/** A price as people write it. Unknown currencies are shown as given. */
export function money(amount, currency) {
  if (amount === null || amount === undefined) return "";
  try {
    return new Intl.NumberFormat(undefined, currency ? { style: "currency", currency } : {}).format(amount);
  } catch {
    return `${amount} ${currency}`;
  }
}

/** Whose picture it is and under which licence, as the source says. */
export function credit(pin) {
  return [pin.creator, pin.licence].filter(Boolean).join(" · ");
}

/** The day of a time such as "2026-11-02T10:00:00+00:00", as people write it; "" for none. */
export function day(time) {
  const date = new Date(time ?? NaN);
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleDateString(undefined, { dateStyle: "medium" });
}

/** The address if it leads to the web, else null: a scraped page may call itself `javascript:`. */
export function webAddress(address) {
  try {
    const url = new URL(address);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

/** Width by height of a tile, kept within bounds so that no strip of a picture breaks a row. */
export function ratio(width, height) {
  return Math.min(1.8, Math.max(1, width / height || 1));
}
