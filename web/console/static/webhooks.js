// What waits for the project's webhooks.

import * as api from "./api.js";
import { el, keyed, setHidden, setText, shorten } from "./dom.js";
import { clock, count, span } from "./words.js";

const outcomes = [
  ["delivered", "delivered"], ["rejected", "rejected"], ["expired", "too old"], ["overflow", "too many waited"], ["removed", "URL removed"],
  ["tripped", "given up: the webhook has failed"],
];
const outcomeWords = Object.fromEntries(outcomes);

export function webhooksView({ poll, title }) {
  title("Webhooks");
  const list = el("div", { class: "targets", id: "targets" });
  const none = el("p", { class: "faint card", hidden: true }, "This project has no webhooks. LiveKit's are in the configuration, under webhooks; Daily's are made by its API.");
  const unwritten = el("p", { class: "notice", hidden: true });
  const root = el("section", { "aria-labelledby": "webhooks-title" },
    el("div", { class: "head" }, el("h1", { id: "webhooks-title" }, "Webhooks")), unwritten, list, none);

  poll(async (signal) => {
    const out = await api.webhooks(signal);
    keyed(list, out.targets.map((t, i) => ({ ...t, i })), (t) => t.i + t.url, card);
    setHidden(none, out.targets.length > 0);
    setText(unwritten, `${count(out.unwritten, "event waits", "events wait")} to be stored before anything can be sent.`);
    setHidden(unwritten, out.unwritten === 0);
  });

  function card(t) {
    const mark = el("span", { class: "chip" });
    const facts = {};
    const fact = (name, text) => el("div", {}, el("dt", {}, text), (facts[name] = el("dd", {})));
    const counts = el("ul", { class: "counts" });
    const failed = el("p", { class: "notice", hidden: true });
    return {
      root: el("article", { class: "card target" },
        el("div", { class: "title" }, el("h2", {}, shorten(t.url), ...(t.id ? [" ", el("span", { class: "faint" }, t.id)] : [])), mark),
        failed,
        el("dl", { class: "facts-grid" },
          fact("pending", "Waiting"), fact("oldest", "The oldest"), fact("next", "Next attempt"), fact("last", "Last outcome")),
        el("h3", {}, "Since the start"), counts),
      update(now) {
        const retrying = now.last?.outcome === "retry";
        const lost = outcomes.slice(1).reduce((n, [name]) => n + (now.outcomes[name] ?? 0), 0);
        const [text, kind] = now.state === "FAILED" ? ["FAILED", "bad"] : retrying ? ["failing", "bad"] : now.pending > 0 ? ["sending", "warn"] : lost > 0 ? ["events were given up", "warn"] : ["all delivered", "good"];
        setText(mark, text);
        mark.className = `chip ${kind}`;
        setHidden(failed, now.state !== "FAILED");
        setText(failed, `It failed ${count(now.failures ?? 0, "time", "times")} in a row and is told of nothing${now.lastDelivered ? ` since ${clock(now.lastDelivered)}` : ""}. A post to /v1/webhooks/${now.id} has it begin again.`);
        setText(facts.pending, now.pending ? count(now.pending, "event") : "nothing");
        setText(facts.oldest, now.pending ? `${span((now.oldestPendingSeconds ?? 0) * 1000)} old` : "–");
        const wait = now.nextAttempt ? Date.parse(now.nextAttempt) - api.serverNow() : 0;
        setText(facts.next, !now.pending ? "–" : wait > 0 ? `in ${span(wait)}` : "now");
        setText(facts.last, !now.last ? "none yet"
          : `${shorten(now.last.event, 60)}${now.last.room ? ` of ${shorten(now.last.room, 60)}` : ""}: ${retrying ? "failed" : outcomeWords[now.last.outcome] ?? now.last.outcome}${now.last.problem ? ` (${shorten(now.last.problem, 160)})` : ""}, ${clock(now.last.at)}`);
        keyed(counts, outcomes.filter(([name]) => name !== "removed" && (name !== "tripped" || now.id)).map(([name, words]) => ({ name, words, n: now.outcomes[name] ?? 0 })), (c) => c.name, (c) => {
          const n = el("strong", {});
          return { root: el("li", {}, n, ` ${c.words}`), update: (d) => setText(n, String(d.n)) };
        });
      },
    };
  }

  return { root };
}
