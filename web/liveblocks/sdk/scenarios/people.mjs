// Who enters, who is there, and what they tell each other.

import assert from "node:assert/strict";
import { createClient } from "@liveblocks/client";
import { WebSocket } from "ws";
import { issue, tokenOf } from "../person.mjs";
import { scenario, until } from "../scene.mjs";
import { Raw } from "../wire.mjs";

scenario("people: they meet", async (s) => {
  const room = await s.made();
  const ada = await s.enter(room, { user: "ada", info: { name: "Ada", color: "red", tags: [1, null] }, presence: { cursor: null } });
  assert.equal(ada.asked, 1);
  assert(Number.isInteger(ada.connectionId) && ada.connectionId >= 0, `connectionId ${ada.connectionId}`);
  assert.deepEqual([ada.me.id, ada.me.info, ada.me.canWrite, ada.me.canComment], ["ada", { name: "Ada", color: "red", tags: [1, null] }, true, true]);
  assert.deepEqual(ada.room.getOthers(), []);

  const bob = await s.enter(room, { user: "bob", info: { name: "Bob" }, presence: { cursor: { x: 1 } } });
  assert.notEqual(bob.connectionId, ada.connectionId);
  const seen = await ada.sees("bob");
  assert.deepEqual({ ...seen }, { connectionId: bob.connectionId, id: "bob", info: { name: "Bob" }, canWrite: true, canComment: true, isReadOnly: false, presence: { cursor: { x: 1 } } });
  assert.deepEqual({ ...(await bob.sees("ada")).presence }, { cursor: null });
  assert.deepEqual((await bob.sees("ada")).info, { name: "Ada", color: "red", tags: [1, null] });

  bob.leave();
  await ada.gone("bob");
  assert(ada.changes.includes("enter") && ada.changes.includes("leave"), String(ada.changes));
  assert.deepEqual(ada.statuses, ["connecting", "connected"].slice(-ada.statuses.length));
  assert.deepEqual([ada.errors, ada.thrown, bob.errors, bob.thrown], [[], [], [], []]);
  ada.stayed();
});

scenario("people: presence goes both ways, in patches", async (s) => {
  const room = await s.made();
  const ada = await s.enter(room, { user: "ada", presence: { cursor: null, name: "a" } });
  const bob = await s.enter(room, { user: "bob", presence: { cursor: { x: 0, y: 0 } } });
  await Promise.all([ada.sees("bob"), bob.sees("ada")]);
  ada.room.updatePresence({ cursor: { x: 1, y: 2 } });
  bob.room.updatePresence({ list: [1, { deep: [null, "é", true]  }], cursor: null });
  await bob.sees("ada", (o) => o.presence.cursor?.y === 2);
  assert.deepEqual(bob.other("ada").presence, { cursor: { x: 1, y: 2 }, name: "a" });
  await ada.sees("bob", (o) => o.presence.list);
  assert.deepEqual(ada.other("bob").presence, { cursor: null, list: [1, { deep: [null, "é", true] }] });
  // What is replaced is replaced whole.
  ada.room.updatePresence({ cursor: { z: 3 } });
  await bob.sees("ada", (o) => o.presence.cursor?.z === 3);
  assert.deepEqual(bob.other("ada").presence, { cursor: { z: 3 }, name: "a" });
  // Somebody who comes later sees what there is now.
  const cy = await s.enter(room, { user: "cy" });
  assert.deepEqual((await cy.sees("ada")).presence, { cursor: { z: 3 }, name: "a" });
  assert.deepEqual((await cy.sees("bob")).presence, { cursor: null, list: [1, { deep: [null, "é", true] }] });
  // Values that follow each other quickly: the last is what is seen in the end.
  for (let i = 0; i < 100; i++) ada.room.updatePresence({ n: i });
  await Promise.all([bob, cy].map((p) => p.sees("ada", (o) => o.presence.n === 99)));
  for (const p of [ada, bob, cy]) p.stayed();
});

scenario("people: the server gives a newcomer the presence that it has", async (s) => {
  const room = await s.made();
  const ada = new Raw(s, { room, token: await tokenOf(s.backend, { user: "ada" }) });
  await ada.state();
  ada.send({ type: 100, targetActor: -1, data: { cursor: 1, kept: true } });
  ada.send({ type: 100, data: { cursor: 2 } });
  await ada.round();
  // Ada's client does not answer that somebody joined.
  const bob = await s.enter(room, { user: "bob", presence: { b: 1 } });
  assert.deepEqual((await bob.sees("ada")).presence, { cursor: 2, kept: true });
  await ada.gets("bob's presence", (m) => m.type === 100 && m.data.b === 1);
});

scenario("people: broadcast events arrive in order, at everybody but their sender", async (s) => {
  const room = await s.made();
  const [ada, bob, cy] = await Promise.all(["ada", "bob", "cy"].map((user) => s.enter(room, { user, info: { name: user } })));
  await Promise.all([ada.sees("bob"), bob.sees("ada"), cy.sees("ada"), cy.sees("bob")]);
  const events = [{ type: "hi" }, "text", 7, null, true, [1, [2]], { nested: { é: "\u0000 \u2028 💥" } }];
  for (const e of events) ada.says(e);
  for (let i = 0; i < 200; i++) ada.says({ i });
  for (const p of [bob, cy]) {
    await p.hears({ i: 199 });
    assert.deepEqual(p.heard, [...events, ...Array.from({ length: 200 }, (_, i) => ({ i }))]);
    for (const e of p.events) assert.deepEqual([e.from, e.user], [ada.connectionId, { id: "ada", info: { name: "ada" } }]);
  }
  bob.says("an answer");
  await ada.hears("an answer");
  assert.deepEqual(ada.heard, ["an answer"]); // and nothing of one's own
});

scenario("people: one user may be there several times", async (s) => {
  const room = await s.made();
  const laptop = await s.enter(room, { user: "bob", presence: { at: "laptop" } });
  const phone = await s.enter(room, { user: "bob", presence: { at: "phone" } });
  const ada = await s.enter(room, { user: "ada" });
  await laptop.sees("bob", (o) => o.presence.at === "phone");
  await phone.sees("bob", (o) => o.presence.at === "laptop");
  await until("ada sees both", () => ada.room.getOthers().length === 2);
  assert.deepEqual(ada.room.getOthers().map((o) => [o.connectionId, o.id]).sort((a, b) => a[0] - b[0]),
    [[laptop.connectionId, "bob"], [phone.connectionId, "bob"]].sort((a, b) => a[0] - b[0]));
  laptop.says("from the laptop");
  await phone.hears("from the laptop");
  laptop.leave();
  await until("ada sees one", () => ada.room.getOthers().length === 1);
  assert.equal(ada.room.getOthers()[0].connectionId, phone.connectionId);
  phone.stayed();
});

scenario("people: access tokens let in where their patterns say, and make rooms", async (s) => {
  const at = (name) => s.room(name);
  const ada = { user: "ada", info: { name: "Ada" }, allow: { [at("w-*")]: ["*:write"], [at("r-*")]: ["*:read"], [at("r-but")]: ["room:write"] } };
  const writes = await s.enter(at("w-1"), ada);
  assert.deepEqual([writes.me.id, writes.me.info, writes.me.canWrite], ["ada", { name: "Ada" }, true]);
  const reads = await s.enter(at("r-1"), ada);
  assert.deepEqual([reads.me.canWrite, reads.me.canComment], [false, false]);
  const but = await s.enter(at("r-but"), ada);
  assert.equal(but.me.canWrite, true);
  const made = await s.backend.getRoom(at("w-1"));
  assert.deepEqual(made.defaultAccesses, ["room:write"]);
  const error = await s.refused(at("x-1"), ada);
  assert.equal(error.code, 4001);
  assert.equal((await s.call("GET", `/v2/rooms/${encodeURIComponent(at("x-1"))}`)).status, 404);
});

scenario("people: one token serves all the rooms that it may", async (s) => {
  const rooms = await Promise.all(["a", "b", "c"].map((n) => s.made(n)));
  for (const options of [{ user: "ada" }, { user: "bob", allow: { [s.room("*")]: ["*:write"] } }]) {
    const p = await s.enter(rooms[0], options);
    for (const id of rooms.slice(1)) {
      const { room, leave } = p.client.enterRoom(id, { initialPresence: {} });
      await until("connected", () => room.getStatus() === "connected");
      leave();
    }
    assert.equal(p.asked, 1);
  }
});

scenario("people: a public key is enough for a page without a backend", async (s) => {
  const room = s.room();
  const one = await s.enter(room, { anonymous: true, presence: { n: 1 } });
  assert.deepEqual([one.me.id, one.me.info, one.me.canWrite], [undefined, undefined, true]);
  const two = await s.enter(room, { anonymous: true, presence: { n: 2 } });
  const seen = await one.sees(undefined, (o) => o.presence.n === 2);
  assert.deepEqual([seen.connectionId, seen.info], [two.connectionId, undefined]);
  assert(!("id" in one.of(101)[0]), "somebody without a name has an id");
  one.says("hello");
  assert.deepEqual((await two.hears("hello"))[0], { from: one.connectionId, user: { id: undefined, info: undefined }, event: "hello" });
  assert.deepEqual((await s.backend.getRoom(room)).defaultAccesses, ["room:write"]);
  const { data } = await s.backend.getActiveUsers(room);
  assert.deepEqual(data.map((u) => [u.type, u.connectionId, u.id ?? null]), [one, two].map((p) => ["user", p.connectionId, null]));
});

scenario("people: an auth endpoint by its address", async (s) => {
  // The client asks with fetch, and refuses a token that it has seen before.
  const room = await s.made();
  const asked = [];
  const client = createClient({
    baseUrl: s.url,
    authEndpoint: "/api/liveblocks-auth",
    polyfills: {
      WebSocket,
      fetch: async (url, init) => {
        asked.push(JSON.parse(init.body));
        const { status, body } = await issue(s.backend, { user: "ada" });
        return new Response(body, { status, headers: { "content-type": "application/json" } });
      },
    },
  });
  const { room: r, leave } = client.enterRoom(room, { initialPresence: {} });
  await until("connected", () => r.getStatus() === "connected");
  client.logout(); // forgets the token and connects again
  await until("connected again with a new token", () => asked.length === 2 && r.getStatus() === "connected");
  assert.deepEqual(asked, [{ room }, { room }]);
  leave();
});
