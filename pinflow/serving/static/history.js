// Forgets searches and deletes saved ones.

import { ask, told } from "./api.js";
import { $ } from "./dom.js";

async function remove(path) {
  try {
    await ask(path, { method: "DELETE" });
    location.reload();
  } catch (error) {
    $("trouble").textContent = told(error);
    $("trouble").hidden = false;
  }
}

for (const button of document.querySelectorAll("button.remove")) {
  const { saved, search } = button.dataset;
  button.addEventListener("click", () => remove(saved ? `/v1/saved/${saved}` : `/v1/history/${search}`));
}
$("clear")?.addEventListener("click", () => {
  if (confirm("Forget all searches?")) remove("/v1/history");
});
