// Requests to the server. What it refuses is an error with the server's words.

const MOST_TRIES = 5;

export async function ask(path, options = {}) {
  for (let tries = 1; ; tries++) {
    const answer = await fetch(path, options);
    if (answer.ok) return answer;
    if (answer.status === 429 && tries < MOST_TRIES) {
      await pause(1000 * Number(answer.headers.get("Retry-After") ?? 1), options.signal);
      continue;
    }
    const {error, hint} = await answer.json().catch(() => ({error: answer.statusText}));
    throw Object.assign(new Error(hint ? `${error}: ${hint}` : error), {status: answer.status});
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => reject(signal.reason));
  });
}
