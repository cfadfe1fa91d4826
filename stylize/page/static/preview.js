// The chosen photo before and after: a small picture at once, then a sharp one.

import {ask} from "./server.js";

const SMALL = 512, SHARP = 1600; // pixels on the longest side
const REST = 120; // milliseconds that a slider rests before its value counts

const pair = document.getElementById("pair");
const before = document.getElementById("before");
const after = document.getElementById("after");
const cut = document.getElementById("cut");
const state = document.getElementById("state");

let underWay = new AbortController();
let timer;

cut.addEventListener("input", () => {
  pair.style.setProperty("--cut", `${cut.value}%`);
  cut.setAttribute("aria-valuetext", `${cut.value} % as before`);
});

// Shows `photo` with the `look`, a URLSearchParams; without a style, the photo alone.
export function show(photo, look) {
  clearTimeout(timer);
  underWay.abort();
  underWay = new AbortController();
  const {signal} = underWay;
  document.getElementById("name").textContent = photo?.name ?? "";
  if (!photo) return;
  if (before.dataset.photo !== photo.id) {
    before.dataset.photo = photo.id;
    before.src = `/photos/${photo.id}`;
    after.removeAttribute("src");
  }
  if (!look.get("style")) return say("Choose a style");
  timer = setTimeout(() => paint(photo, look, signal), after.hasAttribute("src") ? REST : 0);
}

async function paint(photo, look, signal) {
  pair.classList.add("busy");
  pair.classList.toggle("clear", look.get("background") === "transparent");
  say("Painting ...");
  try {
    await put(photo, look, SMALL, signal);
    if (Math.max(after.naturalWidth, after.naturalHeight) === SMALL) {
      say("Sharpening ...");
      await put(photo, look, SHARP, signal);
    }
    say("");
  } catch (error) {
    if (signal.aborted) return;
    after.removeAttribute("src");
    say(error.message, "alarm");
  }
  pair.classList.remove("busy");
}

async function put(photo, look, size, signal) {
  const query = new URLSearchParams({...Object.fromEntries(look), size, format: "webp"});
  const answer = await ask(`/photos/${photo.id}/painted?${query}`, {signal});
  const address = URL.createObjectURL(await answer.blob());
  signal.throwIfAborted();
  URL.revokeObjectURL(after.src);
  after.src = address;
  await after.decode();
  after.dataset.shown = `${look.get("style")} ${size}`;
}

function say(text, kind = "") {
  state.textContent = text;
  state.className = kind;
}
