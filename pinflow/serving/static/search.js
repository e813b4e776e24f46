// The search page: keeps the address, the request and what is shown in step.

import { ask, can, collectionPath, json, told } from "./api.js";
import { collect } from "./collect.js";
import { $, element, plain } from "./dom.js";
import { insights } from "./insights.js";
import { open } from "./panel.js";
import { keep, marksOf, rate, showMarks } from "./rating.js";
import { START, UNFILTERED, address, attribute, byPicture, isNarrowed, isScored, isSearch, parse, request, webAddress } from "./state.js";
import { chip, named, subject, tile } from "./tiles.js";
import { takePictures } from "./taking.js";

const MAX_UPLOAD = 20 * 1024 * 1024;
const SHOWN_CHIPS = 4;
const VALUES = ["min", "max", "without", "licence", "style", "variety", "score"]; // fields that hold a part of the state

const about = JSON.parse($("collection-data").textContent);
const path = collectionPath(about.name);
const queries = new Map(about.labels.map((label) => [label.slug, label.query]));
const pins = new Map(); // shown, by id

let state = parse(location.search);
let file = null; // the picture dropped, pasted or chosen; it lives here alone
let preview = ""; // its object URL
let insight = null; // the picture that the insights below it are about
let board = null; // the board that is searched by
let cursor = null;
let shown = 0;
let asking = new AbortController();

const send = (where, options = {}) => ask(where, { signal: asking.signal, ...options });
const pinThumb = (id) => `${path}/thumbnails/${encodeURIComponent(id)}`;
// A mark belongs to a search that can be asked again: not to a picture that was sent, nor to a board.
const judging = () => isScored(state, file) && !file && !board;
const body = () => request(state, about, file);

function fail(error) {
  const text = told(error);
  if (text === null) return;
  $("error").textContent = text;
  $("error").hidden = false;
  $("status").textContent = "";
  $("results").removeAttribute("aria-busy");
}

function go(change) {
  state = { ...state, ...change };
  history.pushState(null, "", address(about.name, state));
  render();
}

function forget() {
  if (preview) URL.revokeObjectURL(preview);
  file = null;
  preview = "";
  $("file").value = "";
}

async function render() {
  asking.abort();
  asking = new AbortController();
  $("error").hidden = true;
  try {
    await useBoard();
    controls();
    await search();
  } catch (error) {
    fail(error);
  }
}

async function useBoard() {
  if (!state.board) board = null;
  else if (board?.id !== state.board) {
    board = await send(`/v1/boards/${encodeURIComponent(state.board)}`);
  }
}

function controls() {
  const searching = isSearch(state, file);
  const pictured = byPicture(state, file);
  $("words").value = state.words;
  $("words").placeholder = pictured ? "Add words" : "Search by words, or drop a picture";
  $("examples").replaceChildren(...chips());
  $("filters").hidden = false;
  $("start").hidden = searching;
  labels();
  for (const name of VALUES) if ($(name)) $(name).value = state[name] || ($(name).type === "range" ? 0 : "");
  if ($("colour")) $("colour").value = state.colour || "#808080";
  for (const name of ["local", "each"]) $(name).checked = Boolean(state[name]);
  $("each-of").hidden = state.like.length + state.urls.length + Boolean(file) + Boolean(state.words) < 2;
  $("local-of").hidden = !about.labels.some((label) => label.slug === state.label && label.own_space);
  if ($("style")) $("style-of").hidden = !pictured || Boolean(state.local);
  for (const name of ["variety", "score", "without"]) $(name).parentElement.hidden = !isScored(state, file);
  const has = Object.fromEntries(state.has.map(attribute));
  for (const select of choices()) select.value = has[select.dataset.has] ?? "";
  const refined = ["without", "licence", "style", "variety", "score", "local", "each", "colour"].filter((name) => state[name]).length;
  $("refine").dataset.count = refined + state.has.length || "";
  if ($("judge")) $("judge").hidden = !judging();
  if ($("judge")) $("judge").setAttribute("aria-pressed", String(Boolean(state.judge)));
  if ($("keep")) $("keep").hidden = !searching || Boolean(file);
  $("results").classList.toggle("judged", Boolean(state.judge));
}

const choices = () => [...$("refinements").querySelectorAll("select[data-has]")];

function chips() {
  const like = [...state.like.map((id) => ["like", id, false]), ...state.unlike.map((id) => ["unlike", id, true])];
  const shownOnes = like.slice(0, SHOWN_CHIPS).map(([kind, id, away]) =>
    chip(kind, id, pinThumb(id), away ? "a picture that is left out" : "the picture", away));
  return [
    preview && chip("file", "", preview, "your picture"),
    board && chip("board", board.id, "", `the board ${board.name}`),
    ...state.urls.map((url) => chip("urls", url, "", "the picture of the web")),
    ...shownOnes,
    like.length > SHOWN_CHIPS && element("span", { class: "soft" }, `+${like.length - SHOWN_CHIPS}`),
  ].filter(Boolean);
}

function labels() {
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
}

/** The options of a request with that body, and the picture that was sent. */
function carrying(asked) {
  if (!file) return json(asked);
  const form = new FormData();
  form.append("query", JSON.stringify(asked));
  form.append("file", file);
  return { method: "POST", body: form };
}

function post(asked) {
  if (board) return send(`/v1/boards/${encodeURIComponent(board.id)}/search`, json({ collection: about.name, query: asked }));
  return send(`${path}/search`, carrying(asked));
}

async function search() {
  $("results").setAttribute("aria-busy", "true");
  $("status").textContent = "Searching…";
  const alone = state.like.length + state.urls.length + Boolean(file) + Boolean(board) === 1 && !state.unlike.length;
  const known = alone && state.like.length ? send(`${path}/pins/${encodeURIComponent(state.like[0])}`) : null;
  const [answer, pin, judged] = await Promise.all([post(body()), known, judgements()]);
  const like = alone && !board;
  $("subject").hidden = !like;
  if (like) $("subject").replaceChildren(...subject(pin, preview, about.name, queries));
  $("sent").hidden = !file;
  if (file && file !== insight) $("sent").replaceChildren(...insights(about.name, { file, src: preview }));
  insight = file;
  $("results").replaceChildren();
  pins.clear();
  shown = 0;
  add(answer);
  if (judged) showMarks($("results"), judged);
  $("results").removeAttribute("aria-busy");
  const searched = state.words || pin?.title || board?.name || queries.get(state.label) || "Search";
  $("heading").hidden = like || !isSearch(state, file);
  $("heading").textContent = `Results: ${searched}`;
  document.title = `${isSearch(state, file) ? searched : about.name} · pinflow`;
  scrollTo({ top: 0 });
}

const judgements = () => (can("numbers") && state.judge && judging() ? marksOf(about.name, body(), asking.signal) : null);

function add(answer) {
  const scored = isScored(state, file);
  for (const pin of answer.results) pins.set(pin.id, pin);
  const tiles = answer.results.map((pin) => tile(pin, about.name, state, queries, scored));
  $("results").append(...tiles);
  shown += tiles.length;
  cursor = answer.next_cursor;
  $("more").hidden = !cursor;
  $("empty").hidden = shown > 0;
  $("clear").hidden = !isNarrowed(state);
  $("empty-text").textContent = isNarrowed(state)
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
    const answer = await post({ ...body(), cursor });
    const [first] = add(answer);
    first?.querySelector("a").focus({ preventScroll: true });
  } catch (error) {
    fail(error);
  } finally {
    $("more").disabled = false;
  }
}

function take(picture) {
  if (!picture) return;
  forget();
  if (picture.type && !picture.type.startsWith("image/")) return fail(new Error("That is not a picture. Choose a JPEG, PNG or WebP file."));
  if (picture.size > MAX_UPLOAD) return fail(new Error("That picture is larger than 20 MB. Choose a smaller one."));
  file = picture;
  preview = URL.createObjectURL(picture);
  go({ like: [], urls: [], board: "" });
}

function takeAddress(url) {
  forget();
  go({ words: "", like: [], urls: [url], board: "" });
}

function priced() {
  const wrong = [$("min"), $("max")].find((input) => !input.validity.valid);
  if (wrong) return wrong.reportValidity();
  if ($("min").value !== "" && $("max").value !== "" && Number($("min").value) > Number($("max").value)) {
    return fail(new Error("The lowest price is above the highest."));
  }
  return go({ min: $("min").value, max: $("max").value });
}

function remove({ kind, value }) {
  if (kind === "file") forget();
  if (kind === "file") return go({});
  if (kind === "board") return go({ board: "" });
  return go({ [kind]: state[kind].filter((one) => one !== value) });
}

/** How the search is sent along to ask why a pin answers it; null where there is nothing to compare with. */
function asked() {
  if (!isScored(state, file) || board) return null;
  return carrying(body());
}

const HERE = {
  like: (id) => go({ like: [...state.like.filter((one) => one !== id), id], unlike: state.unlike.filter((one) => one !== id) }),
  unlike: (id) => go({ unlike: [...state.unlike.filter((one) => one !== id), id], like: state.like.filter((one) => one !== id) }),
};

function act(button, id) {
  const pin = pins.get(id);
  const act = button.dataset.act;
  if (act === "save") collect(about.name, pin, named(pin, queries));
  else if (act === "about") {
    const search = { ask: asked(), scored: isScored(state, file), ...HERE };
    open({ pin, collection: about.name, queries, search });
  } else rate(button, about.name, body(), pin).then((judged) => showMarks($("results"), judged), fail);
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const words = $("words").value.trim();
  const url = /^https?:\/\/\S+$/i.test(words) && webAddress(words);
  if (url) takeAddress(url);
  else go({ words });
});
$("words").addEventListener("search", () => {
  if (!$("words").value && state.words) go({ words: "" });
});
$("pick").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => take($("file").files[0]));
$("examples").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  remove(button.dataset);
  $("words").focus();
});
$("collection").addEventListener("change", () => location.assign(address($("collection").value, START)));
$("labels").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) go({ label: button.dataset.label, local: "" });
});
$("filters").addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.target.contains(document.activeElement) && document.activeElement.closest("#price")) priced();
  else document.activeElement.blur(); // which sends its change
});
$("price")?.addEventListener("change", priced);
$("refine").addEventListener("click", () => {
  const closed = $("refinements").hidden;
  $("refinements").hidden = !closed;
  $("refine").setAttribute("aria-expanded", String(closed));
});
$("refinements").addEventListener("change", ({ target }) => {
  if (target.dataset.has) {
    go({ has: choices().filter((one) => one.value).map((one) => `${one.dataset.has}=${one.value}`) });
  } else if (target.type === "checkbox") go({ [target.id]: target.checked ? "1" : "" });
  else if (target.type === "range") go({ [target.id]: Number(target.value) ? target.value : "" });
  else go({ [target.id]: target.value.trim() });
});
$("any-colour")?.addEventListener("click", () => go({ colour: "" }));
$("judge")?.addEventListener("click", () => go({ judge: state.judge ? "" : "1" }));
$("keep")?.addEventListener("click", () => keep($("keep"), document.title.replace(" · pinflow", "")).catch(fail));
$("clear").addEventListener("click", () => go(UNFILTERED));
$("more").addEventListener("click", more);
$("results").addEventListener("click", (event) => {
  const button = event.target.closest("button[data-act]");
  if (button) return act(button, button.closest("li").dataset.id);
  const link = event.target.closest("a.picture");
  if (!link || !plain(event)) return undefined;
  event.preventDefault();
  forget();
  go({ ...START, label: state.label, min: state.min, max: state.max, style: state.style, like: [link.dataset.id] });
  return $("results").focus({ preventScroll: true });
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
addEventListener("popstate", () => {
  forget();
  state = parse(location.search);
  render();
});
addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "") && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    $("words").focus();
  }
});

takePictures($("drop"), take, takeAddress);
render();
