// The page of one pin: its insights, why its neighbours are alike, and boards.

import { json } from "./api.js";
import { collect } from "./collect.js";
import { $ } from "./dom.js";
import { insights } from "./insights.js";
import { whyDialog } from "./panel.js";

const { collection } = document.body.dataset;
const item = document.querySelector(".item");
const pin = { id: item.dataset.id, price: item.dataset.price || null, thumb_url: item.querySelector("img").src, title: document.querySelector("h1").textContent };

$("insights").replaceChildren(...insights(collection, { pin }));
$("save")?.addEventListener("click", () => collect(collection, pin, pin.title));
document.addEventListener("click", (event) => {
  const button = event.target.closest("button.why");
  if (!button) return;
  const { href } = button.parentElement.querySelector("a");
  whyDialog(collection, { id: button.dataset.id, title: button.dataset.title, href }, json({ positive: [{ id: pin.id }] }));
});
