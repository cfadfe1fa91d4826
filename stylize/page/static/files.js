// Files that are dropped or chosen -> photos on the server.

import {ask} from "./server.js";

const AT_ONCE = 3;

// All files in what was dropped, with their paths below it. Reads the list before the first wait,
// as browsers empty it then.
export async function dropped(transfer) {
  const entries = [...transfer.items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return chosen(transfer.files);
  return (await Promise.all(entries.map(entry => below(entry, "")))).flat();
}

export function chosen(files) {
  return [...files].map(file => ({file, name: file.webkitRelativePath || file.name}));
}

async function below(entry, folder) {
  const name = folder + entry.name;
  if (entry.name.startsWith(".")) return [];
  if (entry.isFile) {
    return [{file: await new Promise((done, fail) => entry.file(done, fail)), name}];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) { // a browser gives at most 100 entries at a time
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) break;
    found.push(...some);
  }
  found.sort((a, b) => a.name.localeCompare(b.name));
  return (await Promise.all(found.map(each => below(each, `${name}/`)))).flat();
}

// Uploads a few files at a time. Calls `added` for each photo, with its number among the files, and
// `refused` for each other file.
export async function upload(files, added, refused) {
  const left = files.entries();
  await Promise.all(Array.from({length: AT_ONCE}, async () => {
    for (const [number, {file, name}] of left) {
      try {
        const path = `/photos?name=${encodeURIComponent(name)}`;
        const answer = await ask(path, {method: "POST", body: file});
        added(await answer.json(), number);
      } catch (error) {
        refused(name, error);
      }
    }
  }));
}
