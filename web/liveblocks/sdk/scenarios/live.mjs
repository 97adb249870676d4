// What becomes of people in a room when its access list, its name or its being there
// changes. Their clients are unmodified, and know nothing of it.

import assert from "node:assert/strict";
import { tokenOf } from "../person.mjs";
import { scenario, thrown, until } from "../scene.mjs";
import { Raw } from "../wire.mjs";

const reader = ["room:read", "room:presence:write"];

/** flips waits until somebody, and whoever looks at them, knows what they may. */
async function flips(p, canWrite, ...viewers) {
  await until(`${p.options.user} ${canWrite ? "may" : "may not"} write`, () => p.me.canWrite === canWrite);
  await Promise.all(viewers.map((v) => v.sees(p.options.user, (o) => o.canWrite === canWrite && o.isReadOnly === !canWrite)));
}

scenario("live: demoted and promoted without a reconnect", async (s) => {
  const room = await s.made("room", ["room:write"], { usersAccesses: { ada: ["room:write"] } });
  const ada = await s.enter(room, { user: "ada", presence: { a: 1 } });
  const bob = await s.enter(room, { user: "bob", info: { name: "Bob" }, presence: { b: 1 } });
  await Promise.all([ada.sees("bob"), bob.sees("ada")]);
  const { root } = await bob.room.getStorage();
  const { connectionId } = bob;
  const rounds = s.times(100, 10, 3);
  for (let i = 0; i < rounds; i++) {
    for (const [accesses, canWrite] of [[reader, false], [["room:write"], true], [["*:read", "comments:write"], false], [["*:write"], true]]) {
      const updated = await s.backend.updateRoom(room, { defaultAccesses: accesses });
      assert.deepEqual(updated.defaultAccesses, accesses);
      await flips(bob, canWrite, ada);
      assert.equal(bob.me.canComment, accesses !== reader);
      assert.equal(ada.me.canWrite, true);
      if (!canWrite) assert.throws(() => root.set("a", 1), /read only/);
    }
  }
  // Everything is as it was.
  assert.equal(bob.connectionId, connectionId);
  assert.deepEqual(bob.other("ada").presence, { a: 1 });
  assert.deepEqual([ada.other("bob").presence, ada.other("bob").info], [{ b: 1 }, { name: "Bob" }]);
  bob.room.updatePresence({ b: 2 });
  bob.says("still here");
  await ada.sees("bob", (o) => o.presence.b === 2);
  await ada.hears("still here");
  for (const p of [ada, bob]) p.stayed();
  assert(!ada.changes.includes("leave") && !bob.changes.includes("leave"), "somebody seemed to leave");
});

scenario("live: the answer of an update comes when it is enforced", async (s) => {
  const room = await s.made("room", ["*:write"], { usersAccesses: { ada: ["*:write"] } });
  const bob = new Raw(s, { room, token: await tokenOf(s.backend, { user: "bob" }) });
  const { actor } = await bob.state();
  const ada = await s.enter(room, { user: "ada" });
  let flood = true;
  const flooding = (async () => {
    for (let i = 0; flood && !bob.closed; i++) {
      bob.send({ type: 103, event: { i } });
      if (i % 50 === 0) await new Promise(setImmediate);
    }
  })();
  await until("ada hears bob", () => ada.events.length > 0);
  await s.backend.updateRoom(room, { defaultAccesses: [] });
  // On ada's socket, what the server says next comes after all of bob's.
  await s.backend.broadcastEvent(room, "answered");
  await ada.hears("answered");
  flood = false;
  await flooding;
  assert.equal((await bob.end()).code, 4001);
  await s.backend.broadcastEvent(room, "later");
  await ada.hears("later");
  const after = ada.heard.slice(ada.heard.indexOf("answered"));
  assert.deepEqual(after, ["answered", "later"]);
  assert.equal(ada.room.getOthers().find((o) => o.connectionId === actor), undefined);
});

scenario("live: a group is granted, then removed", async (s) => {
  const room = await s.made("room", [], { usersAccesses: { ada: ["*:write"] } });
  const ada = await s.enter(room, { user: "ada" });
  const designer = { user: "bob", groups: ["design"] };
  assert.equal((await s.refused(room, designer)).code, 4001);
  await s.backend.updateRoom(room, { groupsAccesses: { design: ["room:read"] } });
  const bob = await s.enter(room, designer);
  assert.equal(bob.me.canWrite, false);
  await ada.sees("bob");
  await s.backend.updateRoom(room, { groupsAccesses: { design: ["room:write"], sales: ["room:read"] } });
  await flips(bob, true, ada);
  const cy = await s.enter(room, { user: "cy", groups: ["sales", "design"] });
  assert.equal(cy.me.canWrite, true);
  await s.backend.updateRoom(room, { groupsAccesses: { design: null } });
  const error = await bob.putOut();
  assert.equal(error.code, 4001);
  assert(error.message, "bob is not told why");
  await ada.gone("bob");
  await flips(cy, false, ada); // sales reads
  assert.equal((await s.refused(room, designer)).code, 4001);
  for (const p of [ada, cy, bob]) assert.equal(p.sockets.length, 1);
});

scenario("live: one user's own access, over everything", async (s) => {
  const room = await s.made("room", ["*:write"], { groupsAccesses: { g: ["*:write"] } });
  const ada = await s.enter(room, { user: "ada" });
  const bob = await s.enter(room, { user: "bob", groups: ["g"] });
  const again = await s.enter(room, { user: "bob" });
  await s.backend.updateRoom(room, { usersAccesses: { bob: ["*:read"] } });
  await Promise.all([flips(bob, false), flips(again, false)]);
  await until("ada sees both as readers", () => ada.room.getOthers().filter((o) => o.id === "bob" && !o.canWrite).length === 2);
  assert.equal(ada.me.canWrite, true);
  const cy = await s.enter(room, { user: "cy" });
  assert.equal(cy.me.canWrite, true);
  await s.backend.updateRoom(room, { usersAccesses: { bob: [] } }); // says nothing, so the rest holds
  await flips(bob, true, cy);
  await s.backend.updateRoom(room, { usersAccesses: { bob: null } });
  for (const p of [ada, bob, again, cy]) p.stayed();
});

scenario("live: a room that becomes private puts out those who may not be there", async (s) => {
  const room = await s.made("room", ["*:write"], { usersAccesses: { ada: ["*:write"] }, groupsAccesses: { staff: ["*:read"] } });
  const ada = await s.enter(room, { user: "ada" });
  const staff = await s.enter(room, { user: "sam", groups: ["staff"] });
  const others = await Promise.all(["bob", "cy", "dan"].map((user) => s.enter(room, { user })));
  const anonymous = await s.enter(room, { anonymous: true });
  await until("ada sees five", () => ada.room.getOthers().length === 5);
  await s.backend.updateRoom(room, { defaultAccesses: [] });
  // When the call has answered, they are not there any more.
  const { data } = await s.backend.getActiveUsers(room);
  assert.deepEqual(data.map((u) => u.connectionId).sort(), [ada, staff, anonymous].map((p) => p.connectionId).sort());
  for (const p of others) {
    assert.equal((await p.putOut()).code, 4001);
    assert.equal(p.sockets.length, 1);
  }
  await until("ada sees two", () => ada.room.getOthers().length === 2);
  assert.equal(staff.me.canWrite, false);
  for (const p of [ada, staff, anonymous]) p.stayed();
});

scenario("live: a room is renamed under people", async (s) => {
  const [old, name] = [await s.made("old", ["*:write"], { metadata: { kind: "doc" }, usersAccesses: { bob: ["*:read"] } }), s.room("new/ü 1")];
  const people = await Promise.all(["ada", "bob"].map((user) => s.enter(old, { user })));
  const renamed = await s.backend.updateRoomId({ currentRoomId: old, newRoomId: name });
  assert.deepEqual([renamed.id, renamed.metadata], [name, { kind: "doc" }]);
  for (const p of people) {
    assert.deepEqual(await p.putOut(), { code: 4006, message: name });
    assert.equal(p.sockets.length, 1);
  }
  assert.equal((await thrown(s.backend.getRoom(old))).status, 404);
  assert.equal((await s.refused(old, { user: "ada" })).code, 4001);
  const bob = await s.enter(name, { user: "bob" });
  assert.equal(bob.me.canWrite, false);
  assert(bob.connectionId > Math.max(...people.map((p) => p.connectionId ?? -1)), "a connectionId came again");
  const taken = await s.made("taken");
  assert.equal((await thrown(s.backend.updateRoomId({ currentRoomId: name, newRoomId: taken }))).status, 409);
  bob.stayed();
});

scenario("live: a room is deleted under people", async (s) => {
  const room = await s.made();
  const people = await Promise.all(["ada", "bob"].map((user) => s.enter(room, { user })));
  await s.backend.deleteRoom(room);
  for (const p of people) assert.equal((await p.putOut()).code, 4001);
  assert.equal((await thrown(s.backend.getRoom(room))).status, 404);
  assert.equal((await s.refused(room, { user: "ada" })).code, 4001);
  // Made again it is another room.
  await s.made();
  const bob = await s.enter(room, { user: "bob" });
  assert.deepEqual(bob.room.getOthers(), []);
  assert(!people.some((p) => p.of(104)[0].actor === bob.connectionId), "a connectionId came again");
});

scenario("live: a room moves to another organization", async (s) => {
  const room = await s.made();
  const ada = await s.enter(room, { user: "ada" });
  const { status, json } = await s.call("POST", `/v2/rooms/${encodeURIComponent(room)}/update-organization-id`, { fromOrganizationId: "default", toOrganizationId: "acme" });
  assert.equal(status, 200, JSON.stringify(json));
  assert.equal((await s.backend.getRoom(room)).organizationId, "acme");
  assert.equal((await ada.putOut()).code, 4001);
  await s.enter(room, { user: "ada", organization: "acme" });
});

scenario("live: a revocation keeps one person out of an open room", async (s) => {
  const room = await s.made();
  const ada = await s.enter(room, { user: "ada" });
  const token = await tokenOf(s.backend, { user: "bob" });
  const bob = await s.enter(room, { user: "bob", token });
  await ada.sees("bob");
  const until2033 = await s.call("POST", "/usher/v1/revocations", { room, identity: "bob", until: 2_000_000_000, reason: "spam" });
  assert.equal(until2033.status, 201, until2033.text);
  assert.deepEqual((await s.backend.getActiveUsers(room)).data.map((u) => u.id), ["ada"]);
  const error = await bob.putOut();
  assert.equal(error.code, 4001);
  assert.match(error.message, /revoked/);
  await ada.gone("bob");
  for (const t of [token, undefined]) assert.equal((await s.refused(room, { user: "bob", token: t })).code, 4001);
  await s.enter(await s.made("other"), { user: "bob" });
  const lifted = await s.call("DELETE", `/usher/v1/revocations/${until2033.json.id ?? until2033.json.revocation?.id}`);
  assert.equal(Math.floor(lifted.status / 100), 2, lifted.text);
  await s.enter(room, { user: "bob" });
  ada.stayed();
});

scenario("live: a revocation forces another token", async (s) => {
  const room = await s.made("room", [], { groupsAccesses: { staff: ["*:write"] } });
  // In every room, so that no other scenario has this user.
  const zoe = await s.enter(room, { user: "zoe", groups: ["staff"] });
  zoe.options.groups = []; // in the application's database
  const { status, text } = await s.call("POST", "/usher/v1/revocations", { identity: "zoe" });
  assert.equal(status, 201, text);
  assert.equal((await zoe.putOut()).code, 4001);
  zoe.client.logout();
  zoe.room.reconnect();
  await until("zoe is refused for another reason", () => zoe.asked === 2 && zoe.errors.length === 2);
  assert.match(zoe.errors[1].message, /no access/);
  zoe.options.groups = ["staff"];
  await until("zoe is back", async () => { // a token of another second than the revocation's
    zoe.client.logout();
    zoe.room.reconnect();
    await until("something", () => ["connected", "disconnected"].includes(zoe.room.getStatus()));
    return zoe.room.getStatus() === "connected";
  });
});

scenario("live: storage is asked for, then the room becomes read-only", async (s) => {
  // A write that was on its way is refused, and the client goes on.
  const room = await s.made();
  const bob = await s.enter(room, { user: "bob" });
  await bob.room.getStorage();
  await s.backend.updateRoom(room, { defaultAccesses: ["*:read"] });
  await flips(bob, false);
  assert.deepEqual(await bob.storage(), {});
  bob.stayed();
});
