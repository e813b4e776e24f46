// What the page is looking at, as plain values: to and from the address, and to a request. No DOM here.

const LISTS = { like: "id", unlike: "not", urls: "url", has: "has" }; // has: attributes, as "name=value"
const VALUES = {
  words: "q", without: "without", board: "board", label: "label", min: "min", max: "max", licence: "licence",
  style: "style", variety: "variety", colour: "colour", score: "score", local: "local", each: "each", judge: "judge",
};
const NARROWING = ["label", "min", "max", "licence", "without", "score", "colour", "has"];

/** Nothing searched for. */
export const START = Object.freeze({
  ...Object.fromEntries(Object.keys(LISTS).map((name) => [name, []])),
  ...Object.fromEntries(Object.keys(VALUES).map((name) => [name, ""])),
});

/** No filter and no words to leave out. */
export const UNFILTERED = Object.freeze(Object.fromEntries(NARROWING.map((name) => [name, START[name]])));

/** The state in a query string such as "?q=lamp&id=12&not=13". */
export function parse(search) {
  const parameters = new URLSearchParams(search);
  return {
    ...Object.fromEntries(Object.entries(LISTS).map(([name, key]) => [name, parameters.getAll(key)])),
    ...Object.fromEntries(Object.entries(VALUES).map(([name, key]) => [name, parameters.get(key) ?? ""])),
  };
}

/** The address of the search page in a state; empty parts are left out. An uploaded picture never stands in it. */
export function address(collection, state) {
  const parameters = new URLSearchParams();
  for (const [name, key] of Object.entries(VALUES)) if (state[name]) parameters.set(key, state[name]);
  for (const [name, key] of Object.entries(LISTS)) for (const one of state[name]) parameters.append(key, one);
  return `/c/${encodeURIComponent(collection)}${parameters.size ? "?" + parameters : ""}`;
}

/** Whether pictures are searched for, which have a style, and not words alone. */
export const byPicture = (state, file) => Boolean(file || state.like.length || state.urls.length || state.board);

/** Whether results are compared with anything, and so have a score that means something. */
export const isScored = (state, file) => Boolean(state.words) || byPicture(state, file);

/** Whether a filter leaves something out. */
export const isNarrowed = (state) => NARROWING.some((name) => state[name].length);

/** Whether there is anything to search for. A label alone is: all its pictures. */
export const isSearch = (state, file) => isScored(state, file) || isNarrowed(state);

/** Name and value of an attribute as it stands in the address: "colour=dark red". */
export function attribute(pair) {
  const at = pair.indexOf("=");
  return [pair.slice(0, at), pair.slice(at + 1)];
}

/** The body of the search request. Without an example the most typical pictures come first. */
export function request(state, about, file) {
  const scored = isScored(state, file);
  const positive = [
    ...(state.words ? [{ text: state.words }] : []),
    ...state.like.map((id) => ({ id })),
    ...state.urls.map((url) => ({ url })),
  ];
  // What is left out is left out of something: the server wants an example first.
  const negative = scored ? [...(state.without ? [{ text: state.without }] : []), ...state.unlike.map((id) => ({ id }))] : [];
  const filter = {};
  if (state.min !== "") filter.price_min = Number(state.min);
  if (state.max !== "") filter.price_max = Number(state.max);
  const priced = about.prices[0];
  if (priced?.currency && (state.min !== "" || state.max !== "")) filter.currency = priced.currency;
  if (state.colour) filter.colour = state.colour;
  if (state.licence) filter.licence = [state.licence];
  for (const [name, value] of state.has.map(attribute)) ((filter.attributes ??= {})[name] ??= []).push(value);
  const body = { positive, negative, filter, limit: 40 };
  if (state.label) body.label = state.label;
  if (state.local && state.label) body.space = "local";
  else if (state.style && byPicture(state, file)) body.style = Number(state.style);
  if (state.score && scored) body.min_score = Number(state.score);
  if (state.variety && scored) body.diversity = Number(state.variety);
  if (state.each && positive.length > 1) body.mix = "interleave";
  return body;
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

/** The address of a pin's own page. */
export const pinPath = (collection, id) => `/c/${encodeURIComponent(collection)}/pins/${encodeURIComponent(id)}`;
