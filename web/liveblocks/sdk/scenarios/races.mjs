// Access lists that change again and again, at random and at the same time, while
// people come, are there, and are put out.

import assert from "node:assert/strict";
import { hasPermissionAccess, mergeRoomPermissionScopes, permissionMatrixFromScopes } from "@liveblocks/core";
import { scenario, until } from "../scene.mjs";

const lists = [[], ["*:read"], ["*:write"], ["room:read", "room:presence:write"], ["room:write"], ["*:read", "storage:write"], ["*:write", "storage:none"], ["*:read", "comments:write"], ["*:write", "comments:none", "comments:private:write"]];

/** may is what the client's own functions make of a list for somebody. */
function may(list, { user, groups = [] }) {
  const scopes = mergeRoomPermissionScopes({
    defaultAccesses: list.defaultAccesses,
    groupsAccesses: groups.filter((g) => g in list.groupsAccesses).map((g) => list.groupsAccesses[g]),
    userAccesses: list.usersAccesses[user] ?? [],
  });
  const matrix = permissionMatrixFromScopes(scopes);
  return { enter: scopes.length > 0, canWrite: hasPermissionAccess(matrix, "storage", "write"), canComment: hasPermissionAccess(matrix, "comments", "write") };
}

/** randomEdit is an update, and the list after it. */
function randomEdit(s, list) {
  const update = {}, next = structuredClone(list);
  const some = () => lists[s.random(lists.length)];
  if (s.random(3) === 0) next.defaultAccesses = update.defaultAccesses = some();
  for (const [part, ids] of [["groupsAccesses", ["g1", "g2"]], ["usersAccesses", ["ada", "bob", "cy"]]]) {
    if (s.random(2)) continue;
    update[part] = {};
    for (const id of ids) {
      if (s.random(2)) continue;
      const value = s.random(3) ? some() : null;
      update[part][id] = value;
      if (value) next[part][id] = value;
      else delete next[part][id];
    }
  }
  return { update, next };
}

scenario("races: whatever a list becomes, the client's own rules say what it gives", async (s) => {
  let list = { defaultAccesses: ["*:write"], groupsAccesses: {}, usersAccesses: {} };
  const room = await s.made("room", list.defaultAccesses);
  const kinds = [{ user: "ada" }, { user: "ada", groups: ["g1"] }, { user: "bob", groups: ["g1", "g2"] }, { user: "bob", groups: ["g2", "g3"] }, { user: "cy" }, { user: "dan", groups: ["g2"] }];
  const people = await Promise.all(kinds.map((k) => s.enter(room, k)));
  const watcher = await s.enter(room, { user: "watcher", allow: { [room]: ["*:read"] } });
  const done = [];
  for (let i = 0; i < s.times(1000, 60, 15); i++) {
    const { update, next } = randomEdit(s, list);
    done.push(JSON.stringify(update));
    const answer = await s.backend.updateRoom(room, update);
    for (const part of Object.keys(next)) assert.deepEqual(answer[part], next[part], part);
    list = next;
    // Who may not be there is not there any more, now.
    const ids = new Set((await s.backend.getActiveUsers(room)).data.map((u) => u.connectionId));
    for (const [k, p] of people.entries()) {
      const want = may(list, kinds[k]), what = `${JSON.stringify(kinds[k])} after ${done.slice(-3).join(" ")}: ${JSON.stringify(want)}`;
      if (want.enter && p.room.getStatus() === "connected") {
        await until(what, () => p.me.canWrite === want.canWrite && p.me.canComment === want.canComment);
        assert(ids.has(p.connectionId), what);
        await until(`${what}, as others see it`, () => watcher.room.getOthers().some((o) => o.connectionId === p.connectionId && o.canWrite === want.canWrite && o.canComment === want.canComment));
      } else if (!want.enter && p.room.getStatus() !== "disconnected") {
        assert(!ids.has(p.connectionId), what);
        assert.equal((await p.putOut()).code, 4001, what);
      } else if (want.enter) {
        p.room.connect();
        await p.inside();
        await until(what, () => p.connectionId === p.of(104).at(-1).actor && p.me.canWrite === want.canWrite && p.me.canComment === want.canComment);
      }
    }
  }
  watcher.stayed();
});

scenario("races: edits at the same time leave one list, which holds", async (s) => {
  const room = await s.made("room", ["*:read"]);
  const kinds = Array.from({ length: 8 }, (_, i) => ({ user: `u${i}`, groups: [`g${i}`] }));
  const people = await Promise.all(kinds.map((k) => s.enter(room, k)));
  for (let round = 0; round < s.times(50, 5, 2); round++) {
    const readers = lists.filter((l) => l.length > 0);
    const some = () => readers[s.random(readers.length)];
    const edits = kinds.flatMap(({ user, groups: [g] }) => Array.from({ length: 4 }, () => [
      { usersAccesses: { [user]: s.random(3) ? some() : null } },
      { groupsAccesses: { [g]: s.random(3) ? some() : null } },
      { defaultAccesses: some() },
    ][s.random(3)]));
    await Promise.all(edits.map((e) => s.backend.updateRoom(room, e)));
    const list = await s.backend.getRoom(room);
    for (const [i, p] of people.entries()) {
      const want = may(list, kinds[i]);
      await until(`${kinds[i].user} may ${JSON.stringify(want)}`, () => p.me.canWrite === want.canWrite && p.me.canComment === want.canComment);
    }
  }
  for (const p of people) p.stayed();
});

scenario("races: nobody slips in while a room becomes private", async (s) => {
  for (let round = 0; round < s.times(100, 10, 3); round++) {
    const room = await s.made(`room${round}`);
    const coming = Array.from({ length: 8 }, (_, i) => s.person({ user: `u${i}` }));
    for (const [i, p] of coming.entries()) setTimeout(() => p.enter(room), s.random(20) + i);
    await new Promise((done) => setTimeout(done, s.random(20)));
    await s.backend.updateRoom(room, { defaultAccesses: [] });
    assert.deepEqual((await s.backend.getActiveUsers(room)).data, []);
    for (const p of coming) {
      await until("they try", () => p.room);
      assert.equal((await p.putOut()).code, 4001);
    }
    assert.deepEqual((await s.backend.getActiveUsers(room)).data, []);
    await s.backend.updateRoom(room, { defaultAccesses: ["*:write"] });
    await s.enter(room, { user: "u0" });
  }
});
