/* Has the computer that serves this page enlarge a file; esrgan-tf web, and no other server, knows these addresses. */

const TRIES = 5; // some three seconds each

/* Sends the file; calls tell({ state, done, left, ahead, error }) as it goes on, and at the end finish(result, a PNG).
 * Returns a function that gives it up. */
export function enlargeThere(file, model, { tell, finish, fail }) {
  const given = new AbortController();
  let events = null;
  let job = null;
  let over = false;
  let silent = 0;

  function stop() {
    over = true;
    given.abort();
    events?.close();
    // It may be gone with the server; and the page may be going.
    if (job !== null) fetch(`jobs/${job}`, { method: "DELETE", keepalive: true }).catch(() => {});
  }

  async function begin() {
    const query = new URLSearchParams({ model });
    const response = await fetch(`jobs?${query}`, { method: "POST", body: file, signal: given.signal });
    if (!response.ok) throw new Error(await response.text());
    ({ job } = await response.json());
    if (over) return stop();
    events = new EventSource(`jobs/${job}/events`);
    events.onmessage = ({ data }) => {
      silent = 0;
      heard(JSON.parse(data));
    };
    events.onerror = () => {
      silent += 1; // it tries again by itself
      if (events.readyState !== EventSource.CLOSED && silent < TRIES) return;
      end(() => fail("the computer that serves this page does not answer any more"));
    };
  }

  async function heard(state) {
    if (over) return;
    if (state.state === "failed") return end(() => fail(state.error));
    if (state.state !== "done") return tell(state);
    events.close();
    try {
      const response = await fetch(`jobs/${job}/result`, { signal: given.signal });
      if (!response.ok) throw new Error(await response.text());
      const result = await response.blob();
      if (!over) end(() => finish(result));
    } catch (error) {
      end(() => fail(error.message));
    }
  }

  function end(last) {
    if (over) return;
    stop();
    last();
  }

  begin().catch((error) => end(() => fail(error.message)));
  return stop;
}
