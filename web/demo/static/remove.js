// Removing somebody takes two presses: it cannot be undone.

import { el, setText } from "./dom.js";

/**
 * removeButton asks before it acts. tell says something where it is seen, and heard
 * by a screen reader. Escape, or going elsewhere, is a no.
 */
export function removeButton(name, act, tell) {
  const button = el("button", { type: "button", class: "quiet danger", data: { action: "remove" } });
  let asked = false;
  function update() {
    button.classList.toggle("sure", asked);
    setText(button, asked ? "Remove for good?" : "Remove");
    button.ariaLabel = `${button.textContent}${asked ? "" : ":"} ${name()}`;
  }
  function no(words) {
    if (!asked) return;
    asked = false;
    update();
    tell(words);
  }
  button.addEventListener("click", (e) => {
    if (e.detail > 1) return; // the second half of a double click was meant for the first question
    if (!asked) {
      asked = true;
      update();
      tell(`Remove ${name()} for good? Press again to do it, Escape to leave it. Their tokens of until now let nobody in any more.`);
      return;
    }
    asked = false;
    update();
    act();
  });
  button.addEventListener("keydown", (e) => {
    if (e.key !== "Escape" || !asked) return;
    e.preventDefault();
    no(`${name()} was not removed.`);
  });
  button.addEventListener("blur", () => no(""));
  return { button, update };
}
