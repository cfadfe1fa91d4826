// A job from its start to its zip; a page that is loaded again follows it on.

import {ask} from "./server.js";

const panel = document.getElementById("job");
const progress = document.getElementById("progress");
const outcome = document.getElementById("outcome");
const reasons = document.getElementById("reasons");
const cancel = document.getElementById("cancel");
const download = document.getElementById("download");

let source;

export async function start(photos, look) {
  const body = JSON.stringify({photos: photos.map(photo => photo.id)});
  const answer = await ask(`/jobs?${look}`, {method: "POST", body});
  return (await answer.json()).id;
}

// Shows a job until it ends; calls `ended` then.
export function follow(id, ended) {
  source?.close();
  source = new EventSource(`/jobs/${id}`);
  source.onmessage = event => {
    const job = JSON.parse(event.data);
    draw(job);
    if (!["waiting", "running"].includes(job.state)) {
      source.close();
      ended();
    }
  };
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
    panel.hidden = true;
    ended();
  };
  cancel.onclick = () => {
    cancel.disabled = true;
    ask(`/jobs/${id}`, {method: "DELETE"});
  };
  cancel.disabled = false;
  download.href = `/jobs/${id}/zip`;
}

export function complain(message) {
  panel.hidden = false;
  progress.parentElement.hidden = download.hidden = true;
  reasons.replaceChildren();
  outcome.textContent = message;
  outcome.className = "alarm";
}

function draw(job) {
  const over = !["waiting", "running"].includes(job.state);
  panel.hidden = false;
  progress.parentElement.hidden = over;
  progress.max = job.photos;
  progress.value = job.done + job.failures.length;
  outcome.textContent = words(job);
  outcome.className = job.error ? "alarm" : "";
  reasons.replaceChildren(...[...job.failures, ...job.warnings].map(({photo, reason}) => {
    const item = document.createElement("li"), name = document.createElement("b");
    name.textContent = photo;
    item.append(name, ` ${reason}`);
    if (job.failures.some(each => each.photo === photo)) item.className = "alarm";
    return item;
  }));
  download.hidden = !over || !job.done;
}

function words(job) {
  const {done, photos, failures, state, style, saved} = job;
  if (job.error) return job.hint ? `${job.error}: ${job.hint}` : job.error;
  if (state === "waiting") return "Waits for another job to end";
  if (state === "running") return `${done + failures.length} of ${photos} in ${style}`;
  const parts = [`${done} of ${photos} in ${style}`];
  if (state === "stopped") parts.unshift("Cancelled");
  if (failures.length) parts.push(`${failures.length} failed`);
  if (saved) parts.push(`saved in ${saved}`);
  return parts.join(", ");
}
