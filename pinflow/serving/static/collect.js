// Puts a pin on a board: a small dialog with the person's boards, and a field for a new one.

import { ask, json, told } from "./api.js";
import { element, icon } from "./dom.js";

const on = (board) => `/v1/boards/${encodeURIComponent(board)}/pins`;

/** Asks which board the pin goes to, and puts it there. */
export async function collect(collection, pin, title) {
  const list = element("ul", { class: "choices" });
  const status = element("p", { class: "status", role: "status" });
  const name = element("input", { name: "name", required: true, maxlength: 200, "aria-label": "Name of a new board", placeholder: "A new board" });
  const form = element("form", { class: "inline" }, name, element("button", { class: "first" }, "Create and add"));
  const close = element("button", { type: "button", class: "close", "aria-label": "Close" }, icon("bad"));
  const dialog = element(
    "dialog",
    { class: "small", "aria-label": `Add ${title} to a board` },
    element("div", { class: "top" }, element("img", { src: pin.thumb_url, alt: "", width: 48, height: 48 }), element("h2", {}, "Add to a board"), close),
    list, form, status,
  );

  const doing = async (work) => {
    try {
      status.textContent = await work();
    } catch (error) {
      status.textContent = told(error);
    }
  };
  const put = (board) => doing(async () => {
    await ask(on(board.id), json({ pins: [{ collection, id: pin.id }] }));
    await fill();
    return `It is on “${board.name}”.`;
  });
  async function fill() {
    const { boards } = await ask("/v1/boards");
    list.replaceChildren(...boards.map((board) => {
      const button = element("button", { type: "button" }, element("span", {}, board.name), element("small", {}, String(board.pins)));
      button.addEventListener("click", () => put(board));
      return element("li", {}, button);
    }));
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    doing(async () => {
      const board = await ask("/v1/boards", json({ name: name.value }));
      name.value = "";
      await put(board);
      return status.textContent;
    });
  });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  await doing(async () => {
    await fill();
    return "";
  });
}
