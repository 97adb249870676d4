// The server ends, as it should and as it should not, and comes back.

import assert from "node:assert/strict";
import { projectSecret, publicKey, scenario, thrown, until } from "../scene.mjs";
import { tokenOf } from "../person.mjs";

/** back waits until somebody who was there is there again, on another socket. */
async function back(p, sockets) {
  const actor = () => p.of(104).at(-1).actor; // which the client hears of after it is connected
  await until(`${p.options.user} is back`, () => p.sockets.length > sockets && p.room.getStatus() === "connected" && p.connectionId === actor() && p.of(104).length > 1);
}

scenario("restart: people come back, and connectionIds never do", async (s) => {
  s.use(await s.ask("server"));
  const room = await s.made("room", ["*:read"], { usersAccesses: { ada: ["*:write"] } });
  const people = await Promise.all(["ada", "bob", "cy"].map((user) => s.enter(room, { user, info: { name: user }, presence: { mine: user } })));
  const all = () => Promise.all(people.flatMap((p) => people.filter((o) => o !== p).map((o) => p.sees(o.options.user, (other) => other.connectionId === o.connectionId && other.presence.mine === o.options.user))));
  await all();
  const seen = new Set(people.map((p) => p.connectionId));
  for (const end of s.size === "short" ? ["kill"] : ["kill", "stop", "kill"]) {
    const sockets = people.map((p) => p.sockets.length);
    await s.ask(end);
    await s.again();
    await Promise.all(people.map((p, i) => back(p, sockets[i])));
    await all();
    for (const p of people) {
      assert(!seen.has(p.connectionId), `connectionId ${p.connectionId} came again`);
      seen.add(p.connectionId);
      assert.equal(p.me.canWrite, p.options.user === "ada");
      assert.deepEqual(p.me.info, { name: p.options.user });
      assert(!p.statuses.includes("disconnected"), String(p.statuses));
      assert.equal(p.asked, 1, "the client asked for another token");
    }
    people[0].says({ after: end, n: seen.size });
    await people[1].hears({ after: end, n: seen.size });
  }
  // The list still holds, and is still felt at once.
  await s.backend.updateRoom(room, { defaultAccesses: ["*:write"] });
  await until("bob may write", () => people[1].me.canWrite);
});

scenario("restart: a cut connection is not the end", async (s) => {
  const room = await s.made();
  const [ada, bob] = await Promise.all(["ada", "bob"].map((user) => s.enter(room, { user, presence: { n: 1 } })));
  await ada.sees("bob");
  const { connectionId } = bob;
  bob.cut();
  await back(bob, 1);
  await ada.sees("bob", (o) => o.connectionId === bob.connectionId && o.presence.n === 1);
  assert.notEqual(bob.connectionId, connectionId);
  await until("the old one is gone", () => ada.room.getOthers().length === 1);
});

scenario("restart: what happened to a room meanwhile", async (s) => {
  s.use(await s.ask("server"));
  const rooms = { closed: await s.made("closed"), reads: await s.made("reads"), gone: await s.made("gone") };
  const people = Object.fromEntries(await Promise.all(Object.entries(rooms).map(async ([name, room]) => [name, await s.enter(room, { user: "ada" })])));
  await s.ask("kill");
  await s.ask("start with the door shut");
  const direct = s.backend;
  s.use(await s.ask("address"));
  await s.backend.updateRoom(rooms.closed, { defaultAccesses: [] });
  await s.backend.updateRoom(rooms.reads, { defaultAccesses: ["*:read"] });
  await s.backend.deleteRoom(rooms.gone);
  s.backend = direct;
  await s.ask("open");
  assert.equal((await people.closed.putOut()).code, 4001);
  assert.equal((await people.gone.putOut()).code, 4001);
  await back(people.reads, 1);
  assert.equal(people.reads.me.canWrite, false);
});

scenario("restart: tokens are good after it, with a secret that the server made", async (s) => {
  s.use(await s.ask("configured server"), projectSecret);
  const room = await s.made();
  const token = await tokenOf(s.backend, { user: "ada" });
  const ada = await s.enter(room, { user: "ada", token });
  await s.ask("kill");
  await s.again();
  await back(ada, 1);
  await s.enter(room, { user: "ada", token });
});

scenario("restart: a public key that was revoked lets nobody in", async (s) => {
  s.use(await s.ask("server"));
  const room = s.room();
  const one = await s.enter(room, { anonymous: true });
  const ada = await s.enter(room, { user: "ada" });
  const { status, text } = await s.call("POST", "/usher/v1/revocations", { keyId: publicKey });
  assert.equal(status, 201, text);
  assert.equal((await one.putOut()).code, 4001);
  assert.equal((await s.refused(room, { anonymous: true })).code, 4001);
  await s.ask("kill");
  await s.again();
  await back(ada, 1);
  assert.equal((await s.refused(room, { anonymous: true })).code, 4001);
});

scenario("restart: what was acknowledged survives kill -9", async (s) => {
  s.use(await s.ask("server"));
  const state = new Map(); // what was acknowledged last, by room
  const open = new Map(); // what was asked and not answered: may be so or not
  let n = 0, acknowledged = 0;
  const levels = [[], ["*:read"], ["*:write"], ["room:read", "room:presence:write"], ["*:write", "comments:none"]];
  const write = async (worker) => {
    const id = s.room(`${worker}-${s.random(5)}`);
    const have = state.get(id);
    const accesses = levels[s.random(levels.length)], stamp = String(++n);
    const groups = { [`g${s.random(3)}`]: s.random(4) ? levels[s.random(levels.length)] : null };
    if (have && s.random(10) === 0) {
      open.set(id, null);
      await s.backend.deleteRoom(id);
      state.delete(id);
    } else if (!have) {
      open.set(id, { defaultAccesses: accesses, stamp, groups: {} });
      await s.backend.createRoom(id, { defaultAccesses: accesses, metadata: { stamp } });
      state.set(id, open.get(id));
    } else {
      const merged = { ...have.groups, ...groups };
      for (const [g, v] of Object.entries(merged)) if (v === null) delete merged[g];
      open.set(id, { defaultAccesses: accesses, stamp, groups: merged });
      await s.backend.updateRoom(id, { defaultAccesses: accesses, metadata: { stamp }, groupsAccesses: groups });
      state.set(id, open.get(id));
    }
    open.delete(id);
    acknowledged++;
  };
  const rounds = s.times(50, 5, 2);
  for (let round = 0; round < rounds; round++) {
    let dead = false;
    const workers = Array.from({ length: 16 }, async (_, w) => {
      while (!dead) await write(w).catch((e) => { if (!dead) throw e; });
    });
    const enough = acknowledged + 50 + s.random(200);
    await until("enough writes", () => acknowledged >= enough);
    dead = true;
    await s.ask("kill");
    await Promise.all(workers);
    await s.again();
    const there = new Map();
    for await (const r of s.backend.iterRooms({}, { pageSize: 100 })) there.set(r.id, { defaultAccesses: r.defaultAccesses, stamp: r.metadata.stamp, groups: r.groupsAccesses });
    for (const id of new Set([...state.keys(), ...there.keys(), ...open.keys()])) {
      const got = there.get(id) ?? null;
      const may = [state.get(id) ?? null, ...(open.has(id) ? [open.get(id)] : [])];
      if (!may.some((m) => JSON.stringify(sorted(m)) === JSON.stringify(sorted(got)))) {
        assert.fail(`after kill ${round}, ${id} is ${JSON.stringify(got)}, acknowledged was ${JSON.stringify(may)}`);
      }
      if (got) state.set(id, got);
      else state.delete(id);
    }
    open.clear();
  }
  assert((await thrown(s.backend.getRoom(s.room("none")))).status === 404);
});

function sorted(v) {
  return v && { ...v, groups: Object.fromEntries(Object.entries(v.groups).sort()) };
}
