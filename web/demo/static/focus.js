// Where the keyboard is, when what it was on goes away.

const usable = "button, summary, input, a[href]";

/** has reports whether the focus is within an element. */
export const has = (e) => e.contains(document.activeElement);

/** firstIn is the first thing in an element that can be used. */
export const firstIn = (e) => [...e.querySelectorAll(usable)].find((c) => c.checkVisibility());

/** neighbour is what can be used next to an element that is about to go: in the one behind it, else in the nearest before it. */
export function neighbour(e, all) {
  const list = [...all], at = list.indexOf(e);
  for (const other of [...list.slice(at + 1), ...list.slice(0, Math.max(at, 0)).reverse()]) {
    const control = firstIn(other);
    if (control) return control;
  }
  return null;
}
