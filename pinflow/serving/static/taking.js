// Takes pictures that are dropped on the page or pasted into it: files, or their addresses.

import { webAddress } from "./state.js";

const holds = (event, type) => [...(event.dataTransfer?.types ?? [])].includes(type);
const takes = (event) => holds(event, "Files") || holds(event, "text/uri-list");
const typing = (event) => /^(INPUT|TEXTAREA)$/.test(event.target?.tagName ?? "");

/** `take` gets a file, `takeAddress` an address; `shade` shows while one hangs over the page. */
export function takePictures(shade, take, takeAddress) {
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
    const url = !typing(event) && webAddress(event.clipboardData?.getData("text").trim());
    if (!file && !url) return;
    event.preventDefault();
    if (file) take(file);
    else takeAddress(url);
  });
  addEventListener("dragover", (event) => {
    if (!takes(event)) return;
    event.preventDefault();
    shade.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) shade.hidden = true;
  });
  addEventListener("drop", (event) => {
    shade.hidden = true;
    if (!takes(event)) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    const url = webAddress(event.dataTransfer.getData("text/uri-list").split("\n")[0]);
    if (file) take(file);
    else if (url) takeAddress(url);
  });
}
