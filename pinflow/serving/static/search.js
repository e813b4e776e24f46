// The search page: keeps the address, the request and what is shown in step.

import { START, format, isSearch, parse, request } from "./state.js";
import { element, labelTile, subject, tile } from "./tiles.js";

const $ = (id) => document.getElementById(id);
const MAX_UPLOAD = 20 * 1024 * 1024;

let state = parse(location.search);
let file = null; // the picture dropped, pasted or chosen; it lives here alone
let preview = ""; // its object URL
let about = null; // the collection
let cursor = null;
let shown = 0;
let asking = new AbortController();

const queries = () => new Map(about.labels.map((label) => [label.slug, label.query]));

async function ask(path, options = {}) {
  const response = await fetch(path, { signal: asking.signal, ...options });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw new Error(problem.detail || `The server answered ${response.status}.`);
}

function fail(error) {
  if (error.name === "AbortError") return;
  const away = error instanceof TypeError;
  $("error").textContent = away ? "The server cannot be reached. Check that it runs, then try again." : error.message;
  $("error").hidden = false;
  $("status").textContent = "";
  $("results").removeAttribute("aria-busy");
}

function go(change, replace = false) {
  if (change.id || change.collection !== undefined) forget();
  state = { ...state, ...change };
  history[replace ? "replaceState" : "pushState"](null, "", format(state));
  render();
}

function forget() {
  if (preview) URL.revokeObjectURL(preview);
  file = null;
  preview = "";
  $("file").value = "";
}

async function open() {
  const { collections } = await ask("/v1/collections");
  if (!collections.length) throw new Error("No collection is served yet. Run `make demo`, or `pinflow run`.");
  const names = collections.map((each) => each.name);
  $("collection").replaceChildren(...names.map((name) => element("option", { value: name }, name)));
  $("collection").disabled = false;
  if (!state.collection) state.collection = names[0];
  if (!names.includes(state.collection)) {
    const missing = state.collection;
    state = { ...START, collection: names[0] };
    throw new Error(`There is no collection “${missing}”. Choose one above.`);
  }
}

async function render() {
  asking.abort();
  asking = new AbortController();
  $("error").hidden = true;
  try {
    if (about?.name !== state.collection) {
      about = null;
      if (!$("collection").options.length || $("collection").disabled) await open();
      about = await ask(`/v1/collections/${encodeURIComponent(state.collection)}`);
    }
    controls();
    if (!isSearch(state, file)) start();
    await search();
  } catch (error) {
    fail(error);
  }
}

function controls() {
  $("collection").value = state.collection;
  $("words").value = state.words;
  const like = preview || (state.id && pinThumb(state.id));
  $("example").hidden = !like;
  if (like) $("example-picture").src = like;
  $("words").placeholder = like ? "Add words" : "Search by words, or drop a picture";
  const searching = isSearch(state, file);
  $("filters").hidden = !searching;
  $("start").hidden = searching;
  const all = element("button", { type: "button", "data-label": "", "aria-pressed": String(!state.label) }, "All");
  const buttons = about.labels
    .filter((label) => label.pictures)
    .map((label) =>
      element(
        "button",
        { type: "button", "data-label": label.slug, "aria-pressed": String(label.slug === state.label) },
        label.query,
        element("small", {}, String(label.pictures)),
      ),
    );
  const focused = document.activeElement?.dataset?.label;
  $("labels").replaceChildren(all, ...buttons);
  const pressed = $("labels").querySelector("[aria-pressed=true]");
  if (focused !== undefined) pressed?.focus({ preventScroll: true });
  if (pressed && pressed !== all) $("labels").scrollLeft = pressed.offsetLeft - $("labels").offsetLeft - 16;
  const range = about.prices[0];
  $("price").hidden = !range;
  if (range) {
    $("currency").textContent = range.currency ?? "Price";
    $("min").placeholder = String(Math.floor(range.min));
    $("max").placeholder = String(Math.ceil(range.max));
    $("min").value = state.min;
    $("max").value = state.max;
  }
  $("release").textContent = `${about.pictures} pictures · release ${about.release}`;
}

const pinThumb = (id) => `/v1/collections/${encodeURIComponent(state.collection)}/thumbnails/${encodeURIComponent(id)}`;

function start() {
  document.title = `${about.name} · pinflow`;
  $("title").textContent = about.description || about.name;
  $("about").textContent =
    `${about.pictures} pictures under ${about.labels.length} labels. Drop a picture anywhere on this page, paste one, or describe what you look for.`;
  $("tiles").replaceChildren(...about.labels.map((label) => labelTile(label, state)));
}

function post(body) {
  const path = `/v1/collections/${encodeURIComponent(state.collection)}/search`;
  if (!file) {
    return ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  }
  const form = new FormData();
  form.append("query", JSON.stringify(body));
  form.append("file", file);
  return ask(path, { method: "POST", body: form });
}

async function search() {
  $("results").setAttribute("aria-busy", "true");
  $("status").textContent = "Searching…";
  const [answer, pin] = await Promise.all([
    post(request(state, about, file)),
    state.id && !file ? ask(`/v1/collections/${encodeURIComponent(state.collection)}/pins/${encodeURIComponent(state.id)}`) : null,
  ]);
  const scored = Boolean(file || state.id || state.words);
  const like = Boolean(file || pin);
  $("subject").hidden = !like;
  if (like) $("subject").replaceChildren(...subject(file ? null : pin, preview, queries()));
  $("results").replaceChildren();
  shown = 0;
  add(answer, scored);
  $("results").removeAttribute("aria-busy");
  const searched = state.words || pin?.title || queries().get(state.label);
  if (isSearch(state, file)) document.title = `${searched || "Search"} · pinflow`;
  scrollTo({ top: 0 });
}

function add(answer, scored) {
  const tiles = answer.results.map((pin) => tile(pin, state, queries(), scored));
  $("results").append(...tiles);
  shown += tiles.length;
  cursor = answer.next_cursor;
  $("more").hidden = !cursor;
  $("empty").hidden = shown > 0;
  const narrowed = state.label || state.min || state.max;
  $("clear").hidden = !narrowed;
  $("empty-text").textContent = narrowed
    ? "Nothing here matches these filters."
    : state.words
      ? `Nothing matches “${state.words}”. Try fewer or other words.`
      : "This collection has no pictures yet.";
  const order = !scored ? "most typical first" : `best first, in ${Math.max(1, Math.round(answer.timings_ms.total))} ms`;
  $("status").textContent = shown ? `${shown}${cursor ? "+" : ""} ${shown === 1 ? "picture" : "pictures"}, ${order}` : "";
  return tiles;
}

async function more() {
  $("more").disabled = true;
  try {
    const answer = await post({ ...request(state, about, file), cursor });
    const [first] = add(answer, Boolean(file || state.id || state.words));
    first?.querySelector("a").focus({ preventScroll: true });
  } catch (error) {
    fail(error);
  } finally {
    $("more").disabled = false;
  }
}

function take(given) {
  if (!given) return;
  forget();
  if (given.type && !given.type.startsWith("image/")) return fail(new Error("That is not a picture. Choose a JPEG, PNG or WebP file."));
  if (given.size > MAX_UPLOAD) return fail(new Error("That picture is larger than 20 MB. Choose a smaller one."));
  file = given;
  preview = URL.createObjectURL(given);
  go({ id: "" });
}

function priced() {
  const wrong = [$("min"), $("max")].find((input) => !input.validity.valid);
  if (wrong) return wrong.reportValidity();
  if ($("min").value !== "" && $("max").value !== "" && Number($("min").value) > Number($("max").value)) {
    return fail(new Error("The lowest price is above the highest."));
  }
  return go({ min: $("min").value, max: $("max").value });
}

const plain = (event) => event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  go({ words: $("words").value.trim() });
});
$("words").addEventListener("search", () => {
  if (!$("words").value && state.words) go({ words: "" });
});
$("pick").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => take($("file").files[0]));
$("forget").addEventListener("click", () => {
  forget();
  go({ id: "" });
  $("words").focus();
});
$("collection").addEventListener("change", () => go({ ...START, collection: $("collection").value }));
$("labels").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) go({ label: button.dataset.label });
});
$("filters").addEventListener("submit", (event) => {
  event.preventDefault();
  priced();
});
$("price").addEventListener("change", priced);
$("clear").addEventListener("click", () => go({ label: "", min: "", max: "" }));
$("more").addEventListener("click", more);
$("results").addEventListener("click", (event) => {
  const link = event.target.closest("a.picture");
  if (!link || !plain(event)) return;
  event.preventDefault();
  go({ id: link.dataset.id, words: "" });
  $("results").focus({ preventScroll: true });
});
$("tiles").addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || !plain(event)) return;
  event.preventDefault();
  go({ label: link.dataset.label });
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // following the fragment would count as going back, and search again
  $("results").focus();
});
document.querySelector(".brand").addEventListener("click", (event) => {
  if (!plain(event)) return;
  event.preventDefault();
  go({ ...START, collection: state.collection });
});
addEventListener("popstate", () => {
  forget();
  state = { ...parse(location.search) };
  state.collection ||= $("collection").options[0]?.value ?? "";
  render();
});
addEventListener("paste", (event) => {
  const pasted = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
  if (pasted) {
    event.preventDefault();
    take(pasted);
  }
});
addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "")) {
    event.preventDefault();
    $("words").focus();
  }
});
addEventListener("dragover", (event) => {
  if (!carries(event)) return;
  event.preventDefault();
  $("drop").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $("drop").hidden = true;
});
addEventListener("drop", (event) => {
  $("drop").hidden = true;
  if (!carries(event)) return;
  event.preventDefault();
  take(event.dataTransfer.files[0]);
});

render();
