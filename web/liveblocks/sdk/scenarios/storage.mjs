// Storage and Yjs: what a page finds where usher has none.

import assert from "node:assert/strict";
import { LiveList } from "@liveblocks/client";
import { tokenOf } from "../person.mjs";
import { scenario, until } from "../scene.mjs";
import { Raw } from "../wire.mjs";

scenario("storage: it is empty, and says so", async (s) => {
  const room = await s.made();
  const ada = await s.enter(room, { user: "ada" });
  assert.deepEqual(await ada.storage(), {});
  await until("synchronized", () => ada.room.getStorageStatus() === "synchronized");
  assert.deepEqual(ada.thrown, []);
  // And for everybody who comes with a default for it.
  const bob = await s.enter(room, { user: "bob", storage: { list: new LiveList([]) } });
  await bob.room.getStorage();
  bob.says("still here");
  await ada.hears("still here");
});

scenario("storage: a write is refused, and the room goes on", async (s) => {
  const room = await s.made();
  const ada = await s.enter(room, { user: "ada" });
  const bob = await s.enter(room, { user: "bob" });
  const { root } = await bob.room.getStorage();
  assert.equal(bob.me.canWrite, true);
  root.set("title", "hello");
  await until("the refusal", () => bob.of(299).length > 0);
  const [no] = bob.of(299);
  assert.equal(no.opIds.length, 1);
  assert.match(no.reason, /storage/i);
  await until("the client's error", () => bob.thrown.length > 0);
  assert.match(bob.thrown[0].message, /Storage mutations rejected by server: /);
  bob.room.updatePresence({ after: true });
  bob.says("after");
  await ada.hears("after");
  await ada.sees("bob", (o) => o.presence.after);
  assert.deepEqual(ada.of(201), []);
  // Whoever comes finds nothing of it.
  const cy = await s.enter(room, { user: "cy" });
  assert.deepEqual(await cy.storage(), {});
  for (const p of [ada, bob, cy]) p.stayed();
});

scenario("storage: a Yjs document is fetched, and is empty", async (s) => {
  const room = await s.made();
  const ada = await s.enter(room, { user: "ada" });
  const bob = new Raw(s, { room, token: await tokenOf(s.backend, { user: "bob" }) });
  await bob.state();
  bob.send({ type: 300, vector: "AA==" }, { type: 300, vector: "AA==", v2: true, guid: "sub" });
  await until("both answers", () => bob.came.filter((m) => m.type === 300).length === 2);
  const [one, two] = bob.came.filter((m) => m.type === 300);
  assert.deepEqual([one.isSync, one.update, one.stateVector], [true, "AAA=", "AA=="]);
  assert.deepEqual([two.isSync, two.update, two.guid, two.v2], [true, "AAAAAAAAAQAAAAAAAA==", "sub", true]);
  bob.send({ type: 301, update: "AQG5ZQAEAQF0AWEA" });
  bob.send({ type: 103, event: "after" });
  await ada.hears("after");
  assert.deepEqual(ada.of(301).concat(ada.of(300)), []);
  await bob.round();
});
