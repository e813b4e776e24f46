// The panel about one result: what can be done with it, and what is known about it, asked for when opened.

import { can, collectionPath, told } from "./api.js";
import { collect } from "./collect.js";
import { element, icon } from "./dom.js";
import { insights, why } from "./insights.js";
import { START, address, money, pinPath, webAddress } from "./state.js";
import { credited, named } from "./tiles.js";

/** Shows the panel. `search`: the search that found the pin, and what its page can do with it. */
export function open({ pin, collection, queries, search }) {
  const title = named(pin, queries);
  const page = webAddress(pin.page_url);
  const dialog = shown(
    `About ${title}`,
    element("img", { class: "shown", src: pin.thumb_url, alt: title, width: pin.width, height: pin.height }),
    element("h2", {}, element("a", { href: pinPath(collection, pin.id) }, title)),
    element("p", { class: "facts" }, pin.price !== null && element("strong", {}, money(pin.price, pin.currency)),
      element("span", {}, queries.get(pin.label) ?? pin.label ?? "")),
    credited(pin),
    element(
      "div",
      { class: "actions" },
      element("a", { class: "button first", href: address(collection, { ...START, like: [pin.id] }) }, "More like this"),
      search.scored && action("plus", "Add to the search", () => done(search.like)),
      search.scored && action("minus", "Less like this", () => done(search.unlike)),
      can("boards") && action("save", "Add to a board", () => collect(collection, pin, title)),
      page && element("a", { class: "button", href: page, target: "_blank", rel: "noopener noreferrer" }, "See its page", icon("out")),
    ),
    ...insights(collection, { pin, search: search.ask }),
  );
  function done(change) {
    dialog.close();
    change(pin.id);
  }
}

/** Shows why a pin is like what `search` asks for. */
export async function whyDialog(collection, pin, search) {
  const inside = element("div", { class: "inside", role: "status" }, "Asking…");
  shown(`Why ${pin.title} is alike`, element("h2", {}, element("a", { href: pin.href }, pin.title)), inside);
  try {
    inside.replaceChildren(...(await why({ path: collectionPath(collection), pin, search })).filter(Boolean));
  } catch (error) {
    inside.textContent = told(error);
  }
}

function shown(name, ...inside) {
  const close = element("button", { type: "button", class: "close", "aria-label": "Close" }, icon("bad"));
  const dialog = element("dialog", { class: "panel", "aria-label": name }, close, ...inside);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

function action(image, name, act) {
  const button = element("button", { type: "button", class: "button" }, icon(image), name);
  button.addEventListener("click", act);
  return button;
}
