// Making elements. Whatever came from somebody else becomes text, never markup;
// the page's policy forbids the browser anything else.

export const $ = (id) => document.getElementById(id);

/** el makes an element. Strings among its children become text. */
export function el(name, properties, ...children) {
  const e = document.createElement(name);
  const { class: className, data, ...rest } = properties ?? {};
  if (className) e.className = className;
  Object.assign(e.dataset, data);
  for (const [k, v] of Object.entries(rest)) k in e ? (e[k] = v) : e.setAttribute(k, v);
  e.append(...children);
  return e;
}

const mostText = 300;

export const shorten = (text, most = mostText) => (text.length > most ? text.slice(0, most) + "…" : text);

/** theirs is text that somebody else wrote: isolated, so that it cannot turn the direction of what is around it. */
export const theirs = (text, className = "") => el("bdi", { class: className }, shorten(String(text)));

const at = "http://www.w3.org/2000/svg";

const shapes = {
  camera: "M3 7.5A1.5 1.5 0 0 1 4.5 6h8A1.5 1.5 0 0 1 14 7.5v9a1.5 1.5 0 0 1-1.5 1.5h-8A1.5 1.5 0 0 1 3 16.5zM14 10.5l6-3.5v10l-6-3.5",
  microphone: "M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3zM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21",
  screen: "M3.5 5h17v11h-17zM9 20h6M12 16v4M12 13V8.5M9.5 11L12 8.5l2.5 2.5",
  hand: "M7 12V6.5a1.5 1.5 0 0 1 3 0V11 4.5a1.5 1.5 0 0 1 3 0V11 5.5a1.5 1.5 0 0 1 3 0V12 8.5a1.5 1.5 0 0 1 3 0V14c0 4-2.5 7-6.5 7-3 0-4.6-1.3-6-4l-2-4c-.8-1.7 1.2-2.8 2.2-1.4z",
  muted: "M9 9v2a3 3 0 0 0 4.5 2.6M15 11V6a3 3 0 0 0-5.7-1.3M5.5 11a6.5 6.5 0 0 0 10.3 5.3M18.5 11a6.4 6.4 0 0 1-.6 2.7M12 17.5V21M4 3.5l16 17",
};

// Signs to react with: drawn, since not every system has such characters in colour.
const drawn = {
  "❤️": [["M12 20.5C5 15.5 3 12 3 8.8A4.8 4.8 0 0 1 12 6.6a4.8 4.8 0 0 1 9 2.2c0 3.2-2 6.7-9 11.7z", "#e5484d"]],
  "👍": [["M8 10.5l3.6-7a2 2 0 0 1 2.7 2.4L13.4 9H19a2 2 0 0 1 2 2.4l-1.5 7A2 2 0 0 1 17.5 20H8z", "#f0a92e"], ["M3 10.5h3.5V20H3z", "#3f6ad8"]],
  "😂": [["M12 2.5a9.5 9.5 0 1 0 0 19 9.5 9.5 0 0 0 0-19z", "#f7c948"], ["M6.5 12.5h11a5.5 5.5 0 0 1-11 0z", "#7a3e1d"], ["M7 8.2l3 1.3-3 1.3zM17 8.2l-3 1.3 3 1.3z", "#7a3e1d"]],
  "⭐": [["M12 2.2l3 6.3 6.9.9-5 4.8 1.2 6.9-6.1-3.3-6.1 3.3 1.2-6.9-5-4.8 6.9-.9z", "#f3b228"]],
  "🎉": [["M3 21L8 8.5l7.5 7.5z", "#f0a92e"], ["M13 3.5a2 2 0 1 0 .1 0zM20 10a1.6 1.6 0 1 0 .1 0z", "#e5484d"], ["M17 3l1 2.2 2.2.3-1.6 1.5.4 2.3-2-1.2-2 1.2.4-2.3-1.6-1.5 2.2-.3z", "#3f8f5f"], ["M14 12.5c1-2.5 3-3 5-2.5l-.4 1.4c-1.5-.4-2.6 0-3.2 1.6z", "#3f6ad8"]],
};

/** signs are those that there are; the names are for people. */
export const signs = { "❤️": "Heart", "👍": "Thumbs up", "😂": "Laughter", "⭐": "Star", "🎉": "Hooray" };

/** sign draws one of them. */
export function sign(name) {
  const svg = document.createElementNS(at, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "sign");
  svg.setAttribute("aria-hidden", "true");
  for (const [d, fill] of drawn[name]) {
    const path = document.createElementNS(at, "path");
    path.setAttribute("d", d);
    path.setAttribute("fill", fill);
    svg.append(path);
  }
  return svg;
}

/** icon is a small picture that says nothing to a screen reader: words do. */
export function icon(name) {
  const svg = document.createElementNS(at, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(at, "path");
  path.setAttribute("d", shapes[name]);
  svg.append(path);
  return svg;
}

const mostLines = 300;

/** addLine adds to a log, which keeps to its end if one looks at that. */
export function addLine(list, line) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(line);
  while (list.childElementCount > mostLines) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/** setText changes a text only if it differs: a live region says each change. */
export function setText(e, text) {
  if (e.textContent !== text) e.textContent = text;
}
