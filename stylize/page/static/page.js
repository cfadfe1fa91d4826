// The page: photos, styles and the look; what is chosen survives that the page is loaded again.

import {chosen, dropped, upload} from "./files.js";
import {ask} from "./server.js";
import {complain, follow, start} from "./job.js";
import {show} from "./preview.js";
import {watchTrainings} from "./training.js";

const KEPT = `stylize ${document.body.dataset.server}`;
const form = document.getElementById("look");
const strip = document.getElementById("strip");
const apply = document.getElementById("apply");
const status = document.getElementById("status");

const {photos = [], look = [], job} = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
const kept = {photos, look, job, photo: photos[0]};
let running = false; // whether the job goes on

function keep() {
  kept.look = [...new FormData(form)];
  const {photo, ...rest} = kept;
  sessionStorage.setItem(KEPT, JSON.stringify(rest));
}

// The options of the form, as the query of a request has them.
function query() {
  return new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
}

function draw() {
  document.body.classList.toggle("empty", !kept.photos.length);
  apply.disabled = !kept.photos.length || !query().get("style") || running;
  apply.textContent = kept.photos.length > 1 ? `Apply to all ${kept.photos.length}` : "Apply";
  for (const output of form.querySelectorAll("output")) {
    const {value} = document.getElementById(output.htmlFor);
    output.textContent = `${Math.round(100 * value)} %`;
  }
  for (const item of strip.children) {
    const now = item.dataset.id === kept.photo?.id;
    item.querySelector(".thumbnail").setAttribute("aria-pressed", now);
  }
}

function preview() {
  const look = query();
  look.delete("save");
  show(kept.photo, look);
}

function choose(photo) {
  kept.photo = photo;
  draw();
  preview();
}

// Photos arrive in any order, and stand in that of their places.
function add(photo) {
  const later = kept.photos.findIndex(each => each.place > photo.place);
  const at = later < 0 ? kept.photos.length : later;
  kept.photos.splice(at, 0, photo);
  strip.insertBefore(thumbnail(photo), strip.children[at] ?? null);
  if (!kept.photo) choose(photo);
  draw();
  keep();
}

function thumbnail(photo) {
  const item = document.getElementById("thumbnail").content.cloneNode(true).firstElementChild;
  const [button, remove] = item.querySelectorAll("button");
  const image = item.querySelector("img");
  item.dataset.id = photo.id;
  image.src = `/photos/${photo.id}?size=240`;
  image.alt = photo.name;
  image.addEventListener("error", () => button.replaceChildren(`${photo.name}: cannot be read`));
  button.addEventListener("click", () => choose(photo));
  remove.setAttribute("aria-label", `Remove ${photo.name}`);
  remove.addEventListener("click", () => {
    kept.photos.splice(kept.photos.indexOf(photo), 1);
    item.remove();
    ask(`/photos/${photo.id}`, {method: "DELETE"}).catch(() => {});
    if (kept.photo === photo) choose(kept.photos[0]);
    draw();
    keep();
  });
  return item;
}

async function take(files) {
  let done = 0;
  const first = 1 + (kept.photos.at(-1)?.place ?? -1);
  const refused = [];
  const count = () => { status.textContent = `Adding ${done} of ${files.length} ...`; };
  count();
  await upload(files, (photo, number) => {
    done += 1;
    add({...photo, place: first + number});
    count();
  }, (name, error) => refused.push(error.status === 415 ? "" : error.message));
  const others = refused.filter(message => !message).length;
  const reason = refused.find(Boolean);
  const parts = [`${kept.photos.length} ${kept.photos.length === 1 ? "photo" : "photos"}`];
  if (others) parts.push(`${others} other ${others === 1 ? "file" : "files"} left out`);
  if (reason) parts.push(reason);
  status.textContent = parts.join(", ");
}

async function drawStyles() {
  const {styles} = await (await ask("/styles")).json();
  const cards = styles.filter(style => !style.error).map(style => {
    const card = document.getElementById("style").content.cloneNode(true).firstElementChild;
    card.querySelector("input").value = style.name;
    card.querySelector("img").src = `/styles/${encodeURIComponent(style.name)}/picture`;
    card.querySelector("span").textContent = style.name;
    card.title = [style.title, style.author].filter(Boolean).join(", ");
    return card;
  });
  document.getElementById("styles").replaceChildren(...cards);
}

async function newStyle() {
  const chosen = query().get("style");
  await drawStyles();
  const radio = chosen && form.querySelector(`[name="style"][value="${chosen}"]`);
  if (radio) radio.checked = true;
}

function followJob() {
  running = true;
  follow(kept.job, () => {
    running = false;
    draw();
  });
}

function restore() {
  for (const [name, value] of kept.look) {
    for (const field of form.querySelectorAll(`[name="${name}"]`)) {
      if (field.type === "range") field.value = value;
      else field.checked = field.value === value;
    }
  }
  strip.replaceChildren(...kept.photos.map(thumbnail));
  if (kept.job) followJob();
  draw();
  preview();
}

form.addEventListener("input", () => {
  draw();
  preview();
  keep();
});
form.addEventListener("submit", async event => {
  event.preventDefault();
  apply.disabled = true;
  try {
    kept.job = await start(kept.photos, query());
    keep();
    followJob();
  } catch (error) {
    complain(error.message);
  }
  draw();
});
for (const id of ["files", "folder"]) {
  const input = document.getElementById(id);
  input.addEventListener("change", () => {
    take(chosen(input.files));
    input.value = "";
  });
}
const forTraining = event => event.target.id === "picture"; // takes what is dropped by itself
document.addEventListener("dragover", event => {
  if (forTraining(event)) return;
  event.preventDefault();
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", event => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
document.addEventListener("drop", async event => {
  document.body.classList.remove("dragging");
  if (forTraining(event)) return;
  event.preventDefault();
  take(await dropped(event.dataTransfer));
});

await drawStyles();
restore();
if (document.getElementById("train")) watchTrainings(newStyle);
