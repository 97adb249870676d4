// Asking again and again, while somebody looks.

const every = 2000;
const longest = 30000;

// live runs a request now and then: every two seconds while the page is seen,
// less and less often while it fails. failed is told of the error and when the
// next try is; ok that all is well.
export function live(run, { failed, ok }) {
  let timer = 0, failures = 0, ended = false, current = null;
  async function turn() {
    clearTimeout(timer);
    current?.abort();
    if (ended || document.hidden) return;
    const mine = (current = new AbortController());
    let wait = every;
    try {
      await run(mine.signal);
      if (mine.signal.aborted) return;
      failures = 0;
      ok();
    } catch (error) {
      if (mine.signal.aborted) return;
      failures++;
      wait = Math.min(longest, every * 2 ** (failures - 1));
      failed(error, wait);
    }
    timer = setTimeout(turn, wait);
  }
  document.addEventListener("visibilitychange", turn);
  addEventListener("online", turn);
  turn();
  return {
    now: turn, // what is under way may be older than what was just done
    stop() {
      ended = true;
      clearTimeout(timer);
      current?.abort();
      document.removeEventListener("visibilitychange", turn);
      removeEventListener("online", turn);
    },
  };
}
