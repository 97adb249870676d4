// Clients of earlier years: another address, other words for permissions.

import assert from "node:assert/strict";
import { tokenOf } from "../person.mjs";
import { scenario, until } from "../scene.mjs";
import { Raw } from "../wire.mjs";

/** older is the createClient of a release that does not like others beside it. */
async function older(module) {
  const marks = ["@liveblocks/core", "@liveblocks/client"].map(Symbol.for);
  const kept = marks.map((m) => globalThis[m]);
  for (const m of marks) delete globalThis[m];
  const { createClient } = await import(module);
  marks.forEach((m, i) => (globalThis[m] = kept[i]));
  return createClient;
}

for (const [release, module] of Object.entries({ "2.24": "liveblocks-client-2", "3.10": "liveblocks-client-3.10" })) {
  const create = await older(module);
  scenario(`older: a client of ${release} is demoted and promoted beside one of today`, async (s) => {
    const room = await s.made("room", ["*:write"], { usersAccesses: { ada: ["*:write"] } });
    const ada = await s.enter(room, { user: "ada", presence: { a: 1 } });
    const bob = await s.enter(room, { user: "bob", info: { name: "Bob" }, presence: { b: 1 }, create });
    assert.match(bob.sockets[0].url, /\/v7\?/);
    assert.deepEqual([bob.me.canWrite, bob.me.canComment, bob.me.info], [true, true, { name: "Bob" }]);
    assert.deepEqual((await ada.sees("bob")).presence, { b: 1 });
    assert.deepEqual((await bob.sees("ada")).presence, { a: 1 });
    assert.equal(bob.other("ada").canWrite, true);
    for (const [accesses, canWrite, canComment] of [[["*:read"], false, false], [["*:write"], true, true], [["*:read", "comments:write"], false, true], [["*:write", "storage:read"], false, true], [["room:write"], true, true]]) {
      await s.backend.updateRoom(room, { defaultAccesses: accesses });
      await until(`${accesses} is felt`, () => bob.me.canWrite === canWrite && bob.me.canComment === canComment);
      await ada.sees("bob", (o) => o.canWrite === canWrite);
    }
    await s.backend.updateRoom(room, { usersAccesses: { ada: ["*:read"] } });
    await bob.sees("ada", (o) => o.canWrite === false);
    bob.room.updatePresence({ b: 2 });
    bob.says("old");
    await ada.hears("old");
    await ada.sees("bob", (o) => o.presence.b === 2);
    ada.says("new");
    await bob.hears("new");
    assert.deepEqual(await bob.storage(), {});
    for (const p of [ada, bob]) p.stayed();
    assert.deepEqual(bob.thrown, []);
    await s.backend.updateRoom(room, { defaultAccesses: [] });
    assert.equal((await bob.putOut()).code, 4001);
  });

  scenario(`older: a client of ${release} with access tokens, public keys and closed doors`, async (s) => {
    const room = s.room("fresh");
    const bob = await s.enter(room, { user: "bob", allow: { [room]: ["room:write"] }, create });
    const cy = await s.enter(room, { anonymous: true, create });
    await bob.sees(undefined);
    assert.deepEqual([bob.me.canWrite, cy.me.canWrite], [true, true]);
    assert.equal((await s.refused(await s.made("private", []), { user: "bob", create })).code, 4001);
    await s.backend.updateRoomId({ currentRoomId: room, newRoomId: s.room("new") });
    assert.deepEqual(await bob.putOut(), { code: 4006, message: s.room("new") });
  });
}

scenario("older: words that each version understands", async (s) => {
  const accesses = ["*:write", "comments:none"];
  const room = await s.made("room", accesses);
  for (const [version, path, words] of [
    ["3.24.2", "/v8", ["*:write", "comments:none"]],
    ["3.20.0", "/v8", ["*:write", "comments:none"]],
    ["4.0.0", "/v8", ["*:write", "comments:none"]],
    ["3.19.5", "/v8", undefined],
    ["3.14.0", "/v8", undefined],
    ["3.10.1", "/v7", undefined],
    ["2.24.4", "/v7", undefined],
    ["1.12.0", "/v7", undefined],
  ]) {
    const p = new Raw(s, { room, token: await tokenOf(s.backend, { user: "ada" }), version, path });
    const { scopes } = await p.state();
    if (words) assert.deepEqual(scopes, words, version);
    else assert(scopes.every((x) => /^(room:(read|write|presence:write)|comments:(read|write))$/.test(x)), `${version}: ${scopes}`);
    p.ws.terminate();
  }
});
