// What the things in a photo may cost: boxes over the photo, which a person can draw, move and resize.

import { ask, told } from "./api.js";
import { element } from "./dom.js";
import { money } from "./state.js";

const STEP = 0.02; // of the photo's side, an arrow key's

/** The photo with its boxes, and a line for each. `evidence` makes thumbnails of the pins that a price rests on. */
export async function pricing(path, photo, src, evidence) {
  const image = element("img", { src, alt: "The photo; draw a box around one thing to price it alone", draggable: "false" });
  const stage = element("div", { class: "stage" }, image);
  const list = element("ol", { class: "priced" });
  const said = element("p", { class: "soft" });
  let size = null; // pixels of the upright photo, by which the server counts

  async function price(boxes) {
    const form = new FormData();
    form.append("file", photo);
    if (boxes) form.append("query", JSON.stringify({ boxes: boxes.map((box) => ({ box })) }));
    const answer = await ask(`${path}/price`, { method: "POST", body: form });
    size = answer;
    stage.replaceChildren(image, ...answer.segments.map((one, place) => boxed(one, place)));
    list.replaceChildren(...answer.segments.map(line));
    said.textContent = answer.segments.length ? "Draw a box around one thing to price it alone." : "Nothing stands out here. Draw a box around one thing.";
  }

  const again = (box) => {
    said.textContent = "Asking…";
    price([box]).catch((error) => { said.textContent = told(error); });
  };

  function boxed(one, place) {
    const shares = [one.box[0] / size.width, one.box[1] / size.height, one.box[2] / size.width, one.box[3] / size.height];
    const name = `Box ${place + 1}. Arrow keys move it, with Shift they resize it, Enter prices it.`;
    const made = element("button", { type: "button", class: "box", "aria-label": name }, String(place + 1));
    lay(made, shares);
    made.addEventListener("keydown", (event) => {
      const axis = { ArrowLeft: 0, ArrowRight: 0, ArrowUp: 1, ArrowDown: 1 }[event.key];
      if (axis === undefined) return;
      event.preventDefault();
      const by = event.key === "ArrowLeft" || event.key === "ArrowUp" ? -STEP : STEP;
      const at = axis + (event.shiftKey ? 2 : 0);
      shares[at] = within(shares[at] + by, event.shiftKey ? STEP : 0, 1 - shares[axis + (event.shiftKey ? 0 : 2)]);
      lay(made, shares);
    });
    made.addEventListener("click", () => again(pixels(shares)));
    return made;
  }

  const pixels = ([left, top, width, height]) =>
    [left * size.width, top * size.height, width * size.width, height * size.height].map(Math.round);

  function line(one) {
    const about = one.price
      ? [element("strong", { class: "price-tag" }, money(one.price.estimate, one.price.currency)),
          element("span", { class: "soft" }, ` ${money(one.price.low, one.price.currency)} – ${money(one.price.high, one.price.currency)}, in ${Math.round(100 * one.price.level)}% of cases`)]
      : [element("span", { class: "soft" }, one.why_not)];
    return element("li", {}, one.category && element("b", {}, `${one.category.replaceAll("-", " ")} `), ...about, evidence(one.evidence));
  }

  drawing(stage, (shares) => size && again(pixels(shares)));
  await price(null);
  return [stage, said, list];
}

/** Lets a person draw a box on `stage` with a pointer; `done` gets its left, top, width and height in 0..1. */
function drawing(stage, done) {
  let from = null;
  let ghost = null;
  const at = (event) => {
    const frame = stage.getBoundingClientRect();
    return [within((event.clientX - frame.left) / frame.width, 0, 1), within((event.clientY - frame.top) / frame.height, 0, 1)];
  };
  const shares = (to) => [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])];
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    from = at(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!from) return;
    if (!ghost) {
      ghost = element("span", { class: "box ghost" });
      stage.append(ghost);
      stage.setPointerCapture(event.pointerId);
    }
    lay(ghost, shares(at(event)));
  });
  stage.addEventListener("pointerup", (event) => {
    const drawn = ghost && shares(at(event));
    ghost?.remove();
    from = ghost = null;
    if (drawn && drawn[2] > STEP && drawn[3] > STEP) done(drawn);
  });
  stage.addEventListener("pointercancel", () => {
    ghost?.remove();
    from = ghost = null;
  });
}

const within = (value, low, high) => Math.min(high, Math.max(low, value));

function lay(box, [left, top, width, height]) {
  Object.assign(box.style, { left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * width}%`, height: `${100 * height}%` });
}
