// Builds what the page shows out of answers of the API. Text goes in as text, never as HTML.

import { credit, day, format, money, ratio, webAddress } from "./state.js";

/** An element with attributes and children; null and false ones are left out. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") made.className = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

const named = (pin, queries) => pin.title || queries.get(pin.label) || pin.id;

/** One result: its picture leads to "more like this", its title to the page it came from. */
export function tile(pin, state, queries, scored) {
  const title = named(pin, queries);
  const label = queries.get(pin.label) ?? pin.label ?? "";
  const price = money(pin.price, pin.currency);
  const page = webAddress(pin.page_url);
  const shape = ratio(pin.width, pin.height);
  const height = Math.round(128 / shape);
  const link = element(
    "a",
    {
      class: "picture",
      href: format({ ...state, words: "", id: pin.id }),
      "data-id": pin.id,
      "aria-label": `More like ${title}${scored ? `, score ${pin.score.toFixed(2)}` : ""}`,
    },
    element("img", { src: pin.thumb_url, alt: "", width: 128, height, loading: "lazy", decoding: "async" }),
    element("span", { class: "like", "aria-hidden": "true" }, "More like this"),
    scored ? element("span", { class: "score", "aria-hidden": "true" }, pin.score.toFixed(2)) : null,
  );
  const made = element(
    "li",
    { class: "tile" },
    link,
    element("h2", { title }, page ? element("a", { href: page, target: "_blank", rel: "noopener noreferrer" }, title) : title),
    element("p", { class: "facts" }, element("span", {}, label), price ? element("strong", {}, price) : null),
    credited(pin),
  );
  made.style.setProperty("--ratio", shape);
  return made;
}

/** Creator, licence, and the day on which the picture was fetched. */
function credited(pin) {
  const fetched = day(pin.fetched_at);
  const time = fetched ? element("time", { datetime: pin.fetched_at, title: "fetched" }, fetched) : null;
  return credit(pin) || time ? element("p", { class: "credit" }, element("span", {}, credit(pin)), time) : null;
}

/** A label on the start page, with its most typical picture. */
export function labelTile(label, state) {
  const count = label.status === "incomplete" ? `${label.pictures} · incomplete` : String(label.pictures);
  return element(
    "li",
    {},
    element(
      "a",
      { href: format({ ...state, label: label.slug }), "data-label": label.slug },
      label.cover ? element("img", { src: label.cover.thumb_url, alt: "", loading: "lazy", width: 128, height: 96 }) : null,
      element("span", {}, label.query, element("small", { title: label.reason }, count)),
    ),
  );
}

/** What stands above the results when they are like one picture. `pin` is null for an upload. */
export function subject(pin, preview, queries) {
  if (!pin) {
    return [
      element("img", { src: preview, alt: "Your picture", width: 128, height: 128 }),
      element("div", {}, element("p", { class: "kicker" }, "More like"), element("h1", {}, "Your picture"),
        element("p", {}, "It is compared and forgotten: nothing is stored.")),
    ];
  }
  const page = webAddress(pin.page_url);
  const known = [...Object.entries(pin.attributes)].slice(0, 4).map(([name, value]) => `${name}: ${value}`);
  const facts = [queries.get(pin.label) ?? pin.label, ...known].filter(Boolean);
  return [
    element("img", { src: pin.thumb_url, alt: named(pin, queries), width: 128, height: 128 }),
    element(
      "div",
      {},
      element("p", { class: "kicker" }, "More like"),
      element("h1", {}, named(pin, queries)),
      pin.caption && pin.caption !== pin.title ? element("p", { class: "about" }, pin.caption) : null,
      element(
        "p",
        { class: "facts" },
        pin.price === null ? null : element("strong", {}, money(pin.price, pin.currency)),
        ...facts.map((fact) => element("span", {}, fact)),
        page ? element("a", { href: page, target: "_blank", rel: "noopener noreferrer" }, "See its page") : null,
      ),
      credited(pin),
    ),
  ];
}
