// What is said, and reactions that rise and are gone.

import { $, addLine, el, shorten, sign, signs, theirs } from "./dom.js";
import { me, nameOf, page, refused } from "./page.js";
import { tileOf } from "./stage.js";

const mostReactions = 40; // in the air

function addMessage(from, text, className) {
  const line = el("p", { class: className }, el("span", { class: "from" }, from), el("bdi", {}, shorten(text, 4000)));
  addLine($("messages"), line);
  return line;
}

/** chatArrived shows a message; it may be bytes, as livekit-client sends them, or text. */
export function chatArrived(from, payload, json) {
  addMessage(nameOf(from), typeof json === "string" ? json : new TextDecoder().decode(payload), "");
}

async function send() {
  const text = $("text").value;
  if (!text.trim() || !page.room) return;
  $("text").value = "";
  $("refusal").textContent = "";
  const line = addMessage("You", text, "own waiting");
  $("messages").scrollTop = $("messages").scrollHeight;
  try {
    await me().publishData(text, { reliable: true, topic: "chat" });
  } catch (error) {
    line.classList.add("refused");
    line.append(el("span", { class: "why" }, "Not sent."));
    $("refusal").textContent = `Refused: ${refused("Your message was refused", error)}`;
  } finally {
    line.classList.remove("waiting");
  }
}

async function react(name) {
  if (!page.room) return;
  try {
    await me().publishData(name, { topic: "reaction" });
    rise(name, me());
  } catch (error) {
    refused("Your reaction was refused", error);
  }
}

/** reactionArrived shows one of the signs that there are, and nothing else. */
export function reactionArrived(from, json) {
  if (Object.hasOwn(signs, json)) rise(json, from);
}

function rise(name, from) {
  const air = tileOf(from) ?? $("air");
  if (document.querySelectorAll(".reaction").length >= mostReactions) return;
  const mark = el("span", { class: "reaction", ariaHidden: "true" }, sign(name));
  mark.style.setProperty("--drift", String(Math.random()));
  mark.addEventListener("animationend", () => mark.remove());
  air.append(mark);
}

/** showChat says beforehand whether one may say something; trying tells why not. */
export function showChat() {
  $("text").placeholder = me()?.permissions?.canPublishData ? "Say something" : "Not allowed: try it";
}

export function startChat() {
  $("say").addEventListener("submit", (e) => {
    e.preventDefault();
    send();
  });
  $("reactions").append(...Object.entries(signs).map(([name, words]) => {
    const b = el("button", { type: "button", class: "reaction-button", ariaLabel: words, title: words, data: { reaction: words } }, sign(name));
    b.addEventListener("click", () => react(name));
    return b;
  }));
}

/** otherData is what the page does not know what to do with. */
export const otherData = (from, payload, topic, json) => [
  nameOf(from), " sent data", ...(topic ? [" on ", theirs(topic)] : []), ": ",
  theirs(json === undefined ? new TextDecoder().decode(payload) : typeof json === "string" ? json : JSON.stringify(json)),
];
