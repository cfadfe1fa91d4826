// Trainings: one picture becomes a style, with a preview and its loss while it does.

import {ask} from "./server.js";

const form = document.getElementById("new");
const list = document.getElementById("trainings");
const trouble = document.getElementById("trouble");
const picture = document.getElementById("picture");
const painting = document.getElementById("painting");
const going = ["waiting", "running"];

// Shows all trainings, and follows those that go on; calls `trained` when one has become a style.
export async function watchTrainings(trained) {
  form.addEventListener("submit", event => {
    event.preventDefault();
    start(trained);
  });
  picture.addEventListener("change", () => {
    const [file] = picture.files;
    painting.hidden = !file;
    if (file) painting.src = URL.createObjectURL(file);
    form.querySelector(".picture span").hidden = Boolean(file);
    const stem = file?.name.replace(/\.[^.]*$/, "").toLowerCase().replace(/[^a-z0-9._-]+/g, "-");
    if (stem && !form.elements.style.value) form.elements.style.value = stem.replace(/^\W+/, "");
  });
  const {trainings} = await (await ask("/trainings")).json();
  for (const training of trainings) follow(training, trained);
  document.getElementById("train").open ||= trainings.some(each => each.state !== "done");
}

async function start(trained) {
  const [file] = picture.files;
  const query = new URLSearchParams({style: form.elements.style.value, name: file.name});
  await attempt(async () => {
    const answer = await ask(`/trainings?${query}`, {method: "POST", body: file});
    form.reset();
    picture.dispatchEvent(new Event("change"));
    follow(await answer.json(), trained);
  });
}

async function attempt(action) {
  trouble.textContent = "";
  try {
    await action();
  } catch (error) {
    trouble.textContent = error.message;
  }
}

function follow(training, trained) {
  const path = `/trainings/${encodeURIComponent(training.style)}`;
  const item = [...list.children].find(each => each.dataset.style === training.style) ?? card(training);
  const button = item.querySelector("button");
  draw(item, training, path);
  button.onclick = () => attempt(async () => {
    if (going.includes(training.state)) await ask(path, {method: "DELETE"});
    else follow(await (await ask(`${path}/resume`, {method: "POST"})).json(), trained);
  });
  if (!going.includes(training.state)) return;
  const source = new EventSource(path);
  source.onmessage = event => {
    training = JSON.parse(event.data);
    draw(item, training, path);
    if (going.includes(training.state)) return;
    source.close();
    if (training.state === "done") trained();
  };
}

function card(training) {
  const item = document.getElementById("training").content.cloneNode(true).firstElementChild;
  item.dataset.style = training.style;
  list.prepend(item);
  return item;
}

function draw(item, training, path) {
  const {style, state, step, steps, losses, preview, note, error, hint} = training;
  const [words, notes] = item.querySelectorAll("p");
  const progress = item.querySelector("progress");
  const button = item.querySelector("button");
  const image = item.querySelector("img");
  item.querySelector("h3").textContent = style;
  words.textContent = error ? [error, hint].filter(Boolean).join(": ") : say(training);
  words.classList.toggle("alarm", Boolean(error));
  progress.hidden = !going.includes(state);
  progress.max = steps || 1;
  progress.value = step;
  item.querySelector("polyline").setAttribute("points", line(losses));
  image.hidden = !preview;
  const source = `${path}/preview?${preview}`;
  if (preview && image.getAttribute("src") !== source) image.src = source;
  notes.textContent = note;
  button.hidden = state === "done";
  button.textContent = going.includes(state) ? "Stop" : "Continue";
}

function say({state, step, steps, seconds_left: seconds}) {
  if (state === "waiting") return "Waits for another training to end";
  if (state === "done") return "Done: it is among the styles";
  if (state === "stopped") return `Stopped after step ${step}`;
  if (!step) return "Starting ...";
  const left = seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  return `Step ${step} of ${steps}, ${left} left`;
}

// The losses as points of a polyline in 300 x 80, on a logarithmic scale.
function line(losses) {
  const logs = losses.map(([, loss]) => Math.log(loss));
  const low = Math.min(...logs), range = Math.max(...logs) - low || 1;
  const first = losses[0]?.[0], steps = losses.at(-1)?.[0] - first || 1;
  return losses.map(([step], index) =>
    `${300 * (step - first) / steps},${76 - 72 * (logs[index] - low) / range}`).join(" ");
}
