// Builds what the search page shows out of answers of the API.

import { can } from "./api.js";
import { element, icon } from "./dom.js";
import { START, address, credit, day, money, pinPath, ratio, webAddress } from "./state.js";

/** What a pin is called. */
export const named = (pin, queries) => pin.title || queries.get(pin.label) || pin.id;

const out = (page, ...inside) => element("a", { href: page, target: "_blank", rel: "noopener noreferrer" }, ...inside);

/** One result: its picture leads to "more like this", its title to its own page. */
export function tile(pin, collection, state, queries, scored) {
  const title = named(pin, queries);
  const label = queries.get(pin.label) ?? pin.label ?? "";
  const price = money(pin.price, pin.currency);
  const shape = ratio(pin.width, pin.height);
  const link = element(
    "a",
    {
      class: "picture",
      href: address(collection, { ...START, label: state.label, like: [pin.id] }),
      "data-id": pin.id,
      "aria-label": `More like ${title}${scored ? `, score ${pin.score.toFixed(2)}` : ""}`,
    },
    element("img", { src: pin.thumb_url, alt: "", width: 128, height: Math.round(128 / shape), loading: "lazy", decoding: "async" }),
    element("span", { class: "like", "aria-hidden": "true" }, "More like this"),
    scored && element("span", { class: "score", "aria-hidden": "true" }, pin.score.toFixed(2)),
  );
  const made = element(
    "li",
    { class: "tile", "data-id": pin.id },
    link,
    element(
      "div",
      { class: "tools" },
      can("boards") && tool("save", "save", `Add ${title} to a board`),
      tool("about", "more", `About ${title}`),
    ),
    can("numbers") && scored && rating(title),
    element("h2", { title }, element("a", { href: pinPath(collection, pin.id) }, title)),
    element("p", { class: "facts" }, element("span", {}, label), price ? element("strong", {}, price) : null),
    credited(pin),
  );
  made.style.setProperty("--ratio", shape);
  return made;
}

const tool = (act, image, name) => element("button", { type: "button", "data-act": act, "aria-label": name, title: name }, icon(image));

/** Two buttons that say whether a result is good. */
export function rating(title) {
  return element(
    "div",
    { class: "rating", role: "group", "aria-label": `Does ${title} fit?` },
    element("button", { type: "button", "data-act": "good", "aria-pressed": "false", "aria-label": `${title} fits` }, icon("good")),
    element("button", { type: "button", "data-act": "bad", "aria-pressed": "false", "aria-label": `${title} does not fit` }, icon("bad")),
  );
}

/** Creator and licence, which lead to the page that it came from, and the day on which it was fetched. */
export function credited(pin) {
  const page = webAddress(pin.page_url);
  const who = credit(pin) || (page && new URL(page).host);
  const fetched = day(pin.fetched_at);
  const time = fetched ? element("time", { datetime: pin.fetched_at, title: "fetched" }, fetched) : null;
  if (!who && !time) return null;
  return element("p", { class: "credit" }, element("span", { title: who }, page ? out(page, who) : who), time);
}

/** What stands above the results when they are like one picture: of the collection, of the web, or sent. */
export function subject(pin, preview, collection, queries) {
  if (!pin) {
    return [
      preview
        ? element("img", { src: preview, alt: "Your picture", width: 128, height: 128 })
        : element("span", { class: "stand-in" }, icon("link")),
      element("div", {}, element("p", { class: "kicker" }, "More like"),
        element("h1", {}, preview ? "Your picture" : "A picture of the web"),
        element("p", {}, "It is compared and forgotten: nothing is stored.")),
    ];
  }
  const page = webAddress(pin.page_url);
  return [
    element("img", { src: pin.thumb_url, alt: named(pin, queries), width: 128, height: 128 }),
    element(
      "div",
      {},
      element("p", { class: "kicker" }, "More like"),
      element("h1", {}, element("a", { href: pinPath(collection, pin.id) }, named(pin, queries))),
      pin.caption && pin.caption !== pin.title && element("p", { class: "about" }, pin.caption),
      element(
        "p",
        { class: "facts" },
        pin.price !== null && element("strong", {}, money(pin.price, pin.currency)),
        element("span", {}, queries.get(pin.label) ?? pin.label ?? ""),
        page && out(page, "See its page"),
      ),
      credited(pin),
    ),
  ];
}

/** A picture of the search box: what is looked for, or left out. */
export function chip(kind, value, thumb, name, away = false) {
  return element(
    "span",
    { class: away ? "chip away" : "chip" },
    thumb ? element("img", { src: thumb, alt: "", width: 32, height: 32 }) : element("span", { class: "stand-in" }, icon(kind === "board" ? "boards" : "link")),
    element("button", { type: "button", "data-kind": kind, "data-value": value, "aria-label": `Remove ${name} from the search` }, "×"),
  );
}
