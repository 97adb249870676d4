// What a backend tells a room, and asks of it, while people are in it.

import assert from "node:assert/strict";
import { scenario, until } from "../scene.mjs";

scenario("presence: the active users", async (s) => {
  const room = await s.made();
  assert.deepEqual(await s.backend.getActiveUsers(room), { data: [] });
  const ada = await s.enter(room, { user: "ada", info: { name: "Ada" } });
  const bob = await s.enter(room, { user: "bob" });
  const again = await s.enter(room, { user: "bob" });
  const { data } = await s.backend.getActiveUsers(room);
  assert.deepEqual(data.map(({ type, id, connectionId }) => [type, id, connectionId]), [["user", "ada", ada.connectionId], ["user", "bob", bob.connectionId], ["user", "bob", again.connectionId]]);
  assert.deepEqual(data[0].info, { name: "Ada" });
  assert.deepEqual((await s.call("GET", `/v2/rooms/${encodeURIComponent(room)}/active_users`)).json.data, data);
  ada.leave();
  await bob.gone("ada");
  assert.equal((await s.backend.getActiveUsers(room)).data.length, 2);
});

scenario("presence: the backend broadcasts", async (s) => {
  const room = await s.made();
  const [ada, bob] = await Promise.all(["ada", "bob"].map((user) => s.enter(room, { user })));
  const events = [{ type: "reload" }, "text", 0, false, null, [1], { deep: { é: ["💥"] } }];
  for (const e of events) await s.backend.broadcastEvent(room, e);
  for (const p of [ada, bob]) {
    await p.hears(events.at(-1));
    assert.deepEqual(p.heard, events);
    for (const e of p.events) assert.deepEqual([e.from, e.user], [-1, null]);
  }
  assert.equal((await s.call("POST", `/v2/rooms/${encodeURIComponent(room)}/broadcast_event`, { underscore: true })).status, 204);
  await ada.hears({ underscore: true });
  await s.backend.broadcastEvent(await s.made("empty"), "nobody hears");
});

scenario("presence: somebody who has no connection", async (s) => {
  const room = await s.made("room", []);
  const ada = await s.enter(room, { anonymous: true });
  await s.backend.setPresence(room, { userId: "agent", data: { status: "thinking", cursor: null }, userInfo: { name: "Agent" }, ttl: 3599 });
  const agent = await ada.sees("agent");
  assert.deepEqual([agent.info, agent.presence], [{ name: "Agent" }, { status: "thinking", cursor: null }]);
  assert(agent.connectionId >= 0 && agent.connectionId !== ada.connectionId);
  await s.backend.setPresence(room, { userId: "agent", data: { status: "typing" }, ttl: 3599 });
  const later = await ada.sees("agent", (o) => o.presence.status === "typing");
  assert.deepEqual([later.presence, later.connectionId], [{ status: "typing", cursor: null }, agent.connectionId]);
  const bob = await s.enter(room, { user: "bob", allow: { [room]: ["*:write"] } });
  assert.deepEqual((await bob.sees("agent")).presence, { status: "typing", cursor: null });
  assert.deepEqual((await s.backend.getActiveUsers(room)).data.map((u) => u.id), [null, "agent", "bob"]);
  // Two users at a time, and one who goes as its time is over.
  await s.backend.setPresence(room, { userId: "short", data: { n: 1 }, ttl: 6 });
  await ada.sees("short");
  await ada.gone("short");
  await until("active users without it", async () => (await s.backend.getActiveUsers(room)).data.length === 3);
  assert(ada.other("agent"), "the agent went, too");
  // A shorter time replaces a longer one.
  await s.backend.setPresence(room, { userId: "agent", data: {}, ttl: 2 });
  await ada.gone("agent");
  for (const p of [ada, bob]) p.stayed();
});
