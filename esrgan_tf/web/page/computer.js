/* Upscaling of a file on the computer that serves this page, by the requests that esrgan-tf web handles. */

const MAX_ERRORS = 5; // reconnections, about three seconds each

/* Sends the file; calls report({ state, done, left, ahead, error }) at each change, and at the end finish(png) or
 * fail(reason). Returns a function that cancels the job. */
export function upscaleOnServer(file, model, { report, finish, fail }) {
  const requests = new AbortController();
  let events = null;
  let job = null;
  let over = false;
  let errors = 0;

  function stop() {
    over = true;
    requests.abort();
    events?.close();
    // The request may outlive the page, and fails if the server has stopped.
    if (job !== null) fetch(`jobs/${job}`, { method: "DELETE", keepalive: true }).catch(() => {});
  }

  async function begin() {
    const query = new URLSearchParams({ model });
    const response = await fetch(`jobs?${query}`, { method: "POST", body: file, signal: requests.signal });
    if (!response.ok) throw new Error(await response.text());
    ({ job } = await response.json());
    if (over) return stop();
    events = new EventSource(`jobs/${job}/events`);
    events.onmessage = ({ data }) => {
      errors = 0;
      handleState(JSON.parse(data));
    };
    events.onerror = () => {
      errors += 1; // the browser reconnects
      if (events.readyState !== EventSource.CLOSED && errors < MAX_ERRORS) return;
      end(() => fail("the computer that serves this page does not respond; is esrgan-tf web still running?"));
    };
  }

  async function handleState(state) {
    if (over) return;
    if (state.state === "failed") return end(() => fail(state.error));
    if (state.state !== "done") return report(state);
    events.close();
    try {
      const response = await fetch(`jobs/${job}/result`, { signal: requests.signal });
      if (!response.ok) throw new Error(await response.text());
      const result = await response.blob();
      if (!over) end(() => finish(result));
    } catch (error) {
      end(() => fail(error.message));
    }
  }

  function end(callback) {
    if (over) return;
    stop();
    callback();
  }

  begin().catch((error) => end(() => fail(error.message)));
  return stop;
}
