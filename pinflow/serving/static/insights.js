// What the server knows about one picture, each part asked for when it is opened.

import { ask, can, collectionPath, json, told } from "./api.js";
import { element } from "./dom.js";
import { pricing } from "./pricing.js";
import { pinPath } from "./state.js";

const percent = (share) => `${Math.round(100 * share)}%`;
const readable = (name) => name.replaceAll(/[-_]/g, " ");

/** The parts, closed. About a pin, or a `file` that was sent and its preview `src`; `search`: the options of
 * the request that found the pin. */
export function insights(collection, { pin, search, file, src }) {
  const about = { collection, path: collectionPath(collection), pin, search, asked: pin ? json({ positive: [{ id: pin.id }] }) : sent(file) };
  const photo = async () => file ?? (await fetch(pin.thumb_url)).blob();
  return [
    search && can("why") && part("Why it matches", () => why(about)),
    can("tags") && part("What it shows", () => tags(about)),
    can("lookup") && part("What it is closest to", () => lookup(about)),
    // A pin that has a price would vote for itself.
    can("price") && (file || pin.price === null) && part("What it may cost", async () => pricing(about.path, await photo(), src ?? pin.thumb_url, (pins) => evidence(collection, pins))),
  ].filter(Boolean);
}

function sent(file) {
  const form = new FormData();
  form.append("file", file);
  return { method: "POST", body: form };
}

/** A closed part with a title, filled by `load` when it is opened first. */
function part(title, load) {
  const inside = element("div", { class: "inside", role: "status" }, "Asking…");
  const made = element("details", { class: "insight" }, element("summary", {}, title), inside);
  const fill = async () => {
    try {
      inside.replaceChildren(...(await load()).filter(Boolean));
    } catch (error) {
      inside.replaceChildren(element("p", { class: "soft" }, told(error)));
      made.addEventListener("toggle", fill, { once: true }); // the server may have been busy
    }
  };
  made.addEventListener("toggle", fill, { once: true });
  return made;
}

/** Why a pin answers a search, by words, facts in common, and a drawing of what looks alike. */
export async function why({ path, pin, search }) {
  const where = `${path}/pins/${encodeURIComponent(pin.id)}/why`;
  const { pictures: [first], words } = await ask(where, search);
  const lines = words.map(({ text, found }) => {
    const places = Object.entries(found).map(([place, there]) => `${place}: ${there.join(", ")}`);
    return line(`“${text}”`, places.join(" · ") || "not in so many words: by its meaning");
  });
  if (!first) return lines;
  const common = [
    ...first.shared_labels.map(readable),
    ...Object.entries(first.shared_attributes).map(([name, value]) => `${readable(name)}: ${value}`),
  ];
  const alt = "The picture searched for, left, and this one, right; lines join the parts that match most";
  return [
    drawing(where, search, alt, 652, 320),
    element("p", { class: "soft" }, `Warm parts speak for the match. Alike by ${first.cosine.toFixed(2)} of 1.`),
    ...lines,
    common.length > 0 && line("In common", common.join(" · ")),
    first.recommended && line("The site", "shows one beside the other"),
  ];
}

async function tags(about) {
  const said = await ask(`${about.path}/tags`, about.asked);
  const verdict = {
    tagged: `Right in ${percent(said.precision)} of cases, for the marked ones.`,
    unsure: "Nothing is sure enough to be called its tag.",
    stranger: "It is unlike all that the tagger knows, so it is given no tag.",
  }[said.verdict];
  const place = element("div", { class: "drawn" });
  const bars = said.tags.map((one) => {
    const button = element("button", { type: "button", class: "quiet", "aria-label": `Where does it look like ${one.tag}?` }, "Where?");
    button.addEventListener("click", () => {
      const where = `${about.path}/tags?explain=grad-cam&tag=${encodeURIComponent(one.tag)}`;
      place.replaceChildren(drawing(where, about.asked, `Warm where it looks like ${readable(one.tag)}`, 320, 320));
    });
    return bar(readable(one.tag), one.probability, one.given, button);
  });
  return [element("p", { class: "soft" }, verdict), element("ul", { class: "bars" }, ...bars), place, evidence(about.collection, said.evidence)];
}

async function lookup(about) {
  const { attributes } = await ask(`${about.path}/lookup`, about.asked);
  if (!attributes.length) return [element("p", { class: "soft" }, "Nothing here can be voted on.")];
  return attributes.map((one) =>
    element(
      "section",
      {},
      element("h3", {}, readable(one.attribute)),
      one.value === null
        ? element("p", { class: "soft" }, one.why_not)
        : element("p", {}, element("strong", {}, readable(one.value)),
            one.low !== null && ` (${Number(one.low.toPrecision(5))} to ${Number(one.high.toPrecision(5))})`, `, ${percent(one.confidence)} sure`),
      one.ranked.length > 0 && element("ul", { class: "bars" }, ...one.ranked.slice(0, 3).map((each) => bar(readable(each.value), each.share, each.value === one.value))),
      evidence(about.collection, one.evidence),
    ),
  );
}

const line = (name, text) => element("p", { class: "fact" }, element("b", {}, name), " ", text);

function bar(name, share, given, after = null) {
  const full = element("span", { class: "full" });
  full.style.width = percent(share);
  return element("li", { class: given ? "given" : null }, element("span", { class: "what" }, name), element("span", { class: "rail", "aria-hidden": "true" }, full), element("span", { class: "share" }, percent(share)), after);
}

/** Thumbnails of pins, each with its page. */
function evidence(collection, pins) {
  if (!pins?.length) return null;
  const shown = pins.slice(0, 6).map((pin) =>
    element("a", { href: pinPath(collection, pin.id), title: pin.title },
      element("img", { src: pin.thumb_url, alt: pin.title ?? pin.id, width: 64, height: 64, loading: "lazy" })));
  return element("p", { class: "evidence" }, ...shown);
}

/** The drawing that a route makes where a picture is asked for: its place now, itself when it is there. */
function drawing(where, options, alt, width, height) {
  const image = element("img", { class: "drawing", alt, width, height });
  const figure = element("figure", { "aria-busy": "true" }, image);
  fetch(where, { ...options, headers: { ...options.headers, Accept: "image/png" } })
    .then(async (response) => {
      if (!response.ok) throw new Error((await response.json()).detail);
      image.src = URL.createObjectURL(await response.blob());
      image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
    })
    .catch((error) => figure.replaceChildren(element("p", { class: "soft" }, told(error))))
    .finally(() => figure.removeAttribute("aria-busy"));
  return figure;
}
