// Asks the server: JSON in, JSON out, and its problems as errors with words for people.

/** What this server can do, as its pages say: "boards", "tags", ... */
export const can = (name) => document.body.dataset.can.split(" ").includes(name);

/** The answer's JSON; null where there is none. Throws an Error with the `status` and the server's own words. */
export async function ask(path, options = {}) {
  const response = await fetch(path, options);
  if (response.ok) return response.status === 204 ? null : response.json();
  const problem = await response.json().catch(() => ({}));
  throw Object.assign(new Error(problem.detail || `The server answered ${response.status}.`), { status: response.status });
}

/** The options of a request that carries JSON. */
export function json(body, method = "POST") {
  return { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

/** The address of a collection in the API. */
export const collectionPath = (name) => `/v1/collections/${encodeURIComponent(name)}`;

/** What to tell a person about an error; null for a request that was given up. */
export function told(error) {
  if (error.name === "AbortError") return null;
  return error instanceof TypeError ? "The server cannot be reached. Check that it runs, then try again." : error.message;
}
