// Why somebody may do what they may: the server's own account of it, for those
// whose token is an admin's.

import { el, theirs } from "./dom.js";
import { page } from "./page.js";

const rights = {
  sendCamera: "Camera",
  sendMicrophone: "Microphone",
  sendScreenShare: "Screen",
  sendData: "Chat and reactions",
  receiveCamera: "See the stage",
  updateOwnMetadata: "Change own name and data",
  moderateParticipants: "Host",
  hidden: "Hidden",
};

const clock = (at) => new Date(at).toLocaleTimeString([], { hour12: false });

async function explain(identity) {
  const { name, token } = page.room;
  const at = `/usher/v1/rooms/${encodeURIComponent(name)}/participants/${encodeURIComponent(identity)}/permissions`;
  const response = await fetch(at, { headers: { Authorization: `Bearer ${token}` }, cache: "no-store" });
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 404) throw new Error("The server tells that at another address (its admin address), or not at all.");
  throw new Error(`The server does not tell: ${answer.message ?? response.status}.`);
}

function line({ right, allowed, decidedBy, said }) {
  const layers = (said ?? []).map(({ layer, says, at, by }) => [
    layer, `: ${says}`, at ? `, ${clock(at)}` : "", ...(by ? [" by ", theirs(by)] : []), ". ",
  ]).flat();
  return el("li", { class: allowed ? "yes" : "no", data: { right } },
    el("span", { class: "what" }, rights[right], allowed ? "" : el("span", { class: "unseen" }, " (no)")),
    el("span", { class: "why-so" }, decidedBy ? `decided by ${decidedBy}. ` : "", ...layers));
}

/** whyPanel is a part that asks the server each time it is opened. */
export function whyPanel(p) {
  const list = el("ul", { class: "permissions" });
  const panel = el("details", { class: "why" }, el("summary", { data: { action: "why" } }, "Why so?"), list);
  panel.addEventListener("toggle", async () => {
    if (!panel.open) return;
    list.replaceChildren(el("li", { class: "faint" }, "Asking the server…"));
    try {
      const { permissions } = await explain(p.identity);
      list.replaceChildren(...permissions.filter(({ right }) => Object.hasOwn(rights, right)).map(line));
    } catch (error) {
      list.replaceChildren(el("li", { class: "no" }, theirs(error.message)));
    }
  });
  return panel;
}
