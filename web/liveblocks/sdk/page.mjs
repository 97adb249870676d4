// The page that the browser test opens: @liveblocks/client as an application has it,
// and the state of things as text, for whoever waits for it.

import { createClient, LiveblocksError } from "@liveblocks/client";

const given = new URLSearchParams(location.search);
const client = createClient({
  baseUrl: given.get("server"),
  throttle: 16,
  ...(given.has("key") ? { publicApiKey: given.get("key") } : { authEndpoint: `/auth?user=${given.get("user")}` }),
});
const { room, leave } = client.enterRoom(given.get("room"), { initialPresence: { at: given.get("user") } });
const seen = { statuses: [], errors: [], events: [] };

function show() {
  document.body.textContent = JSON.stringify({
    ...seen,
    status: room.getStatus(),
    me: room.getSelf(),
    others: room.getOthers().map(({ id, connectionId, canWrite, presence, info }) => ({ id, connectionId, canWrite, presence, info })),
  });
}

room.subscribe("status", (s) => (seen.statuses.push(s), show()));
room.subscribe("error", (e) => (seen.errors.push({ code: e.context.code, message: e.message, known: e instanceof LiveblocksError }), show()));
room.subscribe("event", ({ connectionId, user, event }) => (seen.events.push({ from: connectionId, id: user?.id, event }), show()));
room.subscribe("others", show);
room.subscribe("my-presence", show);
room.events.self.subscribe(show);

// What the test says and asks. A promise that is refused is the error's text.
globalThis.room = room;
globalThis.client = client;
globalThis.leave = leave;
globalThis.state = () => JSON.parse(document.body.textContent);
globalThis.outcome = (promise) => promise.then((v) => JSON.stringify(v ?? null), (e) => `${e.name}: ${e.message}`);
show();
