// Marks results of a search good or bad, and saves searches.

import { ask, collectionPath, json } from "./api.js";

const route = (collection) => `${collectionPath(collection)}/evaluations`;

/** The marks of a search: `{digest, marks: {pin: good}}`. */
export const marksOf = (collection, query, signal) => ask(`${route(collection)}/marks`, { signal, ...json(query) });

/** Shows marks on the buttons of the tiles in `list`. */
export function showMarks(list, { marks }) {
  for (const tile of list.children) {
    const good = marks[tile.dataset.id];
    for (const button of tile.querySelectorAll("[data-act=good], [data-act=bad]")) {
      button.setAttribute("aria-pressed", String(good === (button.dataset.act === "good")));
    }
  }
}

/** Sends the mark that a button stands for, or takes it back where it is pressed. Returns the marks. */
export async function rate(button, collection, query, pin) {
  if (button.getAttribute("aria-pressed") === "true") {
    const { digest } = await marksOf(collection, query);
    await ask(`${route(collection)}/${digest}/${encodeURIComponent(pin.id)}`, { method: "DELETE" });
    return marksOf(collection, query);
  }
  const good = button.dataset.act === "good";
  return ask(route(collection), json({ query, pin: pin.id, good, rank: pin.rank ?? null }));
}

/** Saves the address of the page under a name; the button says so. */
export async function keep(button, name) {
  await ask("/v1/saved", json({ name, url: location.pathname + location.search }));
  button.textContent = "Saved";
}
