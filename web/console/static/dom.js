// Making and changing the page. Strings only ever become text.

export const $ = (id) => document.getElementById(id);

// The page shows this much of a text that others can make long.
const mostText = 300;

// el makes an element. Strings among its children become text.
export function el(name, properties, ...children) {
  const e = document.createElement(name);
  const { class: className, data, on, ...rest } = properties ?? {};
  if (className) e.className = className;
  Object.assign(e.dataset, data);
  for (const [type, handler] of Object.entries(on ?? {})) e.addEventListener(type, handler);
  for (const [k, v] of Object.entries(rest)) {
    if (v === undefined) continue;
    k in e ? (e[k] = v) : e.setAttribute(k, v);
  }
  e.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}

export const shorten = (text, most = mostText) => (text.length > most ? text.slice(0, most) + "…" : text);

// theirs is text that somebody else wrote: isolated, so that it cannot turn the
// direction of what is around it.
export const theirs = (text, className = "") => el("bdi", { class: className }, shorten(text));

// setText changes a text only when it is another one, so that nothing flickers
// and nothing is read aloud twice.
export function setText(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

export function setHidden(e, hidden) {
  if (e.hidden !== hidden) e.hidden = hidden;
}

const kept = new WeakMap();

// keyed shows a list so that what stays is not made again: make returns a part
// with a root and an update, which is called with what the list has now.
export function keyed(parent, items, keyOf, make) {
  if (!kept.has(parent)) kept.set(parent, new Map());
  const parts = kept.get(parent);
  const wanted = new Set(items.map(keyOf));
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const place = focused && [...parent.children].findIndex((row) => row.contains(focused));
  for (const [key, part] of parts) {
    if (wanted.has(key)) continue;
    part.root.remove();
    parts.delete(key);
  }
  let at = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let part = parts.get(key);
    if (!part) parts.set(key, (part = make(item)));
    part.update(item);
    if (part.root === at) at = at.nextElementSibling;
    else parent.insertBefore(part.root, at);
  }
  if (!focused || document.activeElement === focused) return;
  // What had the focus was moved, or is gone: then whoever took its place has it.
  if (focused.isConnected) focused.focus();
  else settle([...parent.children].slice(place), [...parent.children].slice(0, place).reverse(), parent);
}

const usable = "a[href], button:enabled, input:enabled, select:enabled, textarea:enabled, summary";

// settle puts the focus on the first of the elements, in lists of them, that can be
// used, else on the heading of the part of the page that the last one is in.
export function settle(...places) {
  const elements = places.flat();
  for (const e of elements) {
    const control = e.matches(usable) ? e : [...e.querySelectorAll(usable)].find((c) => c.checkVisibility());
    if (control) return control.focus();
  }
  const heading = elements.at(-1).closest("section, #view")?.querySelector("h1, h2, h3");
  if (!heading) return undefined;
  heading.tabIndex = -1;
  return heading.focus({ preventScroll: true });
}

// lost reports whether nothing has the focus.
export const lost = () => !document.activeElement || document.activeElement === document.body;

// idle marks a button that has nothing to do now. It is not disabled: that would take
// the focus from whoever has just pressed it. Clicks on it do nothing.
export function idle(button, is) {
  const now = String(Boolean(is));
  if (button.ariaDisabled !== now) button.ariaDisabled = now;
}

export const isIdle = (button) => button.ariaDisabled === "true";

let fields = 0;

// field is an input with its label, and words that help.
export function field(label, input, hint) {
  input.id ||= `field-${++fields}`;
  const parts = [el("label", { htmlFor: input.id }, label), input];
  if (hint) {
    const id = `${input.id}-hint`;
    input.setAttribute("aria-describedby", id);
    parts.push(el("p", { class: "faint", id }, hint));
  }
  return el("div", { class: "field" }, ...parts);
}

// check is a box to tick, with its label.
export function check(label, input) {
  input.type = "checkbox";
  return el("label", { class: "check" }, input, el("span", {}, label));
}

export function select(options, properties) {
  return el("select", properties ?? {}, ...options.map(([value, text]) => el("option", { value }, text)));
}

// outcome tells how something ended. It stays until the next one, or until it is
// closed.
export function outcome(text, bad = false, ...more) {
  $("outcome").classList.toggle("bad", bad);
  $("outcome-text").replaceChildren(text, ...more);
  $("outcome").hidden = false;
}

export function quiet() {
  const focused = $("outcome").contains(document.activeElement);
  $("outcome").hidden = true;
  if (focused) ($("view").hidden ? $("key") : $("view")).focus({ preventScroll: true });
}

// dialog asks for something. What submit throws is told, and the dialog stays.
export function dialog({ title, body, submit, label, danger, words }) {
  const problem = el("p", { class: "refusal", role: "alert" });
  const go = el("button", { type: "submit", class: danger ? "danger-fill" : "" }, label);
  const form = el("form", {},
    el("h2", { id: "dialog-title" }, title),
    ...[body].flat(),
    problem,
    el("div", { class: "buttons" },
      el("button", { type: "button", class: "quiet", on: { click: end } }, "Cancel"), go));
  const box = el("dialog", { "aria-labelledby": "dialog-title" }, form);
  function end() {
    box.close(); // which gives the focus back
    box.remove();
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = "";
    go.disabled = true;
    try {
      await submit();
      end();
    } catch (error) {
      problem.textContent = words(error);
    } finally {
      go.disabled = false;
    }
  });
  box.addEventListener("close", () => {
    box.remove();
    // Whatever opened it may have gone meanwhile.
    queueMicrotask(() => lost() && !$("view").hidden && $("view").focus({ preventScroll: true }));
  });
  document.body.append(box);
  box.showModal();
  return box;
}
