// Makes, renames and deletes boards, and takes pins off them. The pages show them; the server renders those.

import { ask, json, told } from "./api.js";
import { $ } from "./dom.js";

const path = (board) => `/v1/boards/${encodeURIComponent(board)}`;

async function attempt(work) {
  try {
    $("trouble").hidden = true;
    await work();
  } catch (error) {
    $("trouble").textContent = told(error);
    $("trouble").hidden = false;
  }
}

$("new")?.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const made = await ask("/v1/boards", json({ name: event.target.elements.name.value }));
    location.assign(`/boards/${encodeURIComponent(made.id)}`);
  });
});

$("rename")?.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    await ask(path(event.target.dataset.board), json({ name: event.target.elements.name.value }, "PATCH"));
    location.reload();
  });
});

$("delete")?.addEventListener("click", ({ target }) => {
  if (!confirm("Delete this board? Its pictures stay in their collections.")) return;
  attempt(async () => {
    await ask(path(target.dataset.board), { method: "DELETE" });
    location.assign("/boards");
  });
});

for (const button of document.querySelectorAll("button.remove")) {
  button.addEventListener("click", () =>
    attempt(async () => {
      const { board, collection, id } = button.dataset;
      await ask(`${path(board)}/pins/${encodeURIComponent(collection)}/${encodeURIComponent(id)}`, { method: "DELETE" });
      location.reload();
    }),
  );
}
