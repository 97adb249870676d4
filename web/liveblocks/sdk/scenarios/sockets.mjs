// The protocol itself, where the client would not let a test go.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { issue, tokenOf } from "../person.mjs";
import { publicKey, scenario, until } from "../scene.mjs";
import { liveKitToken, Raw } from "../wire.mjs";

scenario("sockets: the room state comes first, alone and in its own frame", async (s) => {
  const room = await s.made();
  const ada = new Raw(s, { room, token: await tokenOf(s.backend, { user: "ada", info: { name: "Ada" } }) });
  const state = await ada.state();
  assert.deepEqual(JSON.parse(ada.texts[0]), state); // no array, which the client would not understand
  assert.deepEqual(Object.keys(state).sort(), ["actor", "meta", "nonce", "scopes", "type", "users"]);
  assert.deepEqual([state.scopes, state.users, state.meta], [["*:write"], {}, {}]);
  assert(typeof state.nonce === "string" && state.nonce.length >= 8, state.nonce);
  ada.send({ type: 100, targetActor: -1, data: { x: 1 } });
  await ada.round();
  const bob = new Raw(s, { room, token: await tokenOf(s.backend, { user: "bob" }) });
  const other = await bob.state();
  assert.deepEqual(other.users, { [state.actor]: { id: "ada", info: { name: "Ada" }, scopes: ["*:write"] } });
  assert(other.actor > state.actor && other.nonce !== state.nonce);
  const joined = await ada.type(101);
  assert.deepEqual(joined, { type: 101, actor: other.actor, id: "bob", scopes: ["*:write"] });
  bob.ws.close();
  assert.deepEqual(await ada.type(102), { type: 102, actor: other.actor });
});

scenario("sockets: a batch arrives in order, and pings are answered", async (s) => {
  const room = await s.made();
  const [ada, bob] = await Promise.all(["ada", "bob"].map(async (user) => new Raw(s, { room, token: await tokenOf(s.backend, { user }) })));
  const { actor } = await ada.state();
  await bob.state();
  ada.send({ type: 100, targetActor: -1, data: { n: 0 } }, { type: 103, event: 1 }, { type: 103, event: 2 }, { type: 100, data: { n: 3 } }, { type: 103, event: 4 });
  await until("the last event", () => bob.came.some((m) => m.event === 4));
  const of = bob.came.filter((m) => m.actor === actor && [100, 103].includes(m.type));
  assert.deepEqual(of.filter((m) => m.type === 103).map((m) => m.event), [1, 2, 4]);
  assert(of.findIndex((m) => m.type === 100) < of.findIndex((m) => m.event === 1), `the presence comes after what was said later: ${JSON.stringify(of)}`);
  assert.deepEqual(ada.came.filter((m) => m.actor === actor && [100, 103].includes(m.type)), [], "an echo");
  ada.ws.send("ping");
  await until("pong", () => ada.texts.includes("pong"));
  ada.send(); // nothing to say
  await ada.round();
});

scenario("sockets: answers to somebody's coming reach nobody twice", async (s) => {
  // Every client sends its presence when somebody comes; it changes nothing.
  const room = await s.made();
  const [ada, bob, cy] = await Promise.all(["ada", "bob", "cy"].map(async (user) => new Raw(s, { room, token: await tokenOf(s.backend, { user }) })));
  const { actor } = await ada.state();
  await Promise.all([bob.state(), cy.state()]);
  const data = { a: 1, b: { c: [1, "x"] } };
  ada.send({ type: 100, targetActor: -1, data });
  await bob.gets("ada's presence", (m) => m.type === 100 && m.actor === actor);
  const before = bob.came.filter((m) => m.type === 100 && m.actor === actor).length;
  for (let i = 0; i < 50; i++) ada.send({ type: 100, targetActor: 7, data });
  ada.send({ type: 103, event: "after" });
  await bob.gets("after", (m) => m.event === "after");
  assert.equal(bob.came.filter((m) => m.type === 100 && m.actor === actor).length, before);
});

scenario("sockets: what nobody may say ends the connection for good", async (s) => {
  const room = await s.made();
  const token = await tokenOf(s.backend, { user: "ada" });
  for (const text of ["{}", "hello", '"ping"', "[1]", "[[]]", '[{"type":"100"}]', '[{"type":999}]', '[{"type":100,"data":[]}]', '[{"type":100}]', "[{", "null", ""]) {
    const ada = new Raw(s, { room, token });
    await ada.state();
    ada.ws.send(text);
    const { code, reason } = await ada.end();
    assert.equal(code, 4000, `after ${JSON.stringify(text)}: ${code} ${reason}`);
    assert(reason, `after ${JSON.stringify(text)}`);
  }
  const ada = new Raw(s, { room, token });
  await ada.state();
  ada.ws.send(Buffer.from([1, 2, 3]));
  assert.equal((await ada.end()).code, 4000);
});

scenario("sockets: who comes with a wrong token is let in and put out with a reason", async (s) => {
  const room = await s.made();
  const token = await tokenOf(s.backend, { user: "ada" });
  const [header, payload, signature] = token.split(".");
  const part = (o) => Buffer.from(JSON.stringify(o)).toString("base64url");
  const read = (text) => JSON.parse(Buffer.from(text, "base64url"));
  const signed = (h, p, secret) => `${h}.${p}.${createHmac("sha256", secret).update(`${h}.${p}`).digest("base64url")}`;
  const eve = part({ ...read(payload), uid: "eve" });
  for (const [what, connection] of Object.entries({
    "no token": { room },
    "an empty one": { room, token: "" },
    "nonsense": { room, token: "nonsense" },
    "no signature": { room, token: `${header}.${payload}.` },
    "none as algorithm": { room, token: `${part({ ...read(header), alg: "none" })}.${payload}.` },
    "another payload": { room, token: `${header}.${eve}.${signature}` },
    "another secret": { room, token: signed(header, eve, "secret") },
    "the secret key": { room, token: signed(header, eve, "sk_dev_secret") },
    "another kid": { room, token: signed(part({ ...read(header), kid: "devkey" }), eve, "secret") },
    "an issuer": { room, token: signed(part({ alg: "HS256", typ: "JWT" }), part({ ...read(eve), iss: "devkey" }), "secret") },
    "a LiveKit token": { room, token: liveKitToken({ sub: "eve", video: { roomJoin: true, room } }) },
    "an unknown public key": { room, publicKey: `${publicKey}x` },
    "no room": { token },
    "an empty room": { room: "", token },
  })) {
    const p = new Raw(s, connection);
    const { code, reason } = await p.end();
    assert(code >= 4000 && code <= 4099, `${what}: ${code} ${reason}`);
    assert(reason, what);
    assert.deepEqual(p.texts, [], what);
  }
  const plain = await fetch(`${s.url}/v8?roomId=a`);
  assert.equal(plain.status, 426);
});

scenario("sockets: a token that has run out is replaced, unless it comes again", async (s) => {
  const room = await s.made();
  const fresh = await tokenOf(s.backend, { user: "ada" });
  const [header, payload] = fresh.split(".");
  const now = Math.floor(Date.now() / 1000);
  const expired = (life) => {
    const p = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(payload, "base64url")), iat: now - 7200 - life, nbf: undefined, exp: now - 7200, jti: `x${life}${s.random(1e9)}` })).toString("base64url");
    return `${header}.${p}.${createHmac("sha256", "liveblocks_dev_token_secret").update(`${header}.${p}`).digest("base64url")}`;
  };
  const old = new Raw(s, { room, token: expired(100) });
  assert.equal((await old.end()).code, 4109);
  // The client does not keep a token of so short a life, and asks for another.
  const tokens = [expired(20), fresh];
  const ada = s.person({ user: "ada", next: () => tokens.shift() });
  ada.enter(room);
  await ada.inside();
  assert.deepEqual([ada.asked, ada.sockets.length, ada.errors], [2, 2, []]);
  // It takes one of an hour for good, whatever the clock says, and must not try for ever.
  const one = expired(3600);
  const bob = s.person({ user: "bob", token: one });
  bob.enter(room);
  assert.equal((await bob.putOut()).code, 4001);
  assert(bob.sockets.length <= 3, `${bob.sockets.length} sockets`);
});

scenario("sockets: what is too large ends the connection, and says by how much", async (s) => {
  const room = await s.made();
  const ada = await s.enter(room, { user: "ada" });
  const bob = await s.enter(room, { user: "bob" });
  bob.says("x".repeat(60_000));
  await ada.hears("x".repeat(60_000));
  bob.says("x".repeat(70_000));
  const error = await bob.putOut();
  assert.equal(error.code, 4000);
  assert.match(error.message, /65536/);
  const { status, json } = await s.call("POST", `/v2/rooms/${encodeURIComponent(room)}/broadcast-event`, { x: "x".repeat(70_000) });
  assert(status === 422 || status === 413, String(status));
  assert.match(json.message, /65536/);
  assert.equal(ada.heard.length, 1);
  ada.stayed();
});

scenario("sockets: an ID token names no identity that nobody may have", async (s) => {
  const { status } = await issue(s.backend, { user: "anon:1" });
  assert.equal(status, 422);
});

scenario("sockets: a long silence is not the server's to end while it is pinged", async (s) => {
  const room = await s.made();
  const token = await tokenOf(s.backend, { user: "ada" });
  const ai = new Raw(s, { token, path: "/ai/v7" });
  const { code, reason } = await ai.end();
  assert.equal(code, 4001);
  assert.match(reason, /not offered/i);
  const ada = new Raw(s, { room, token });
  await ada.state();
  for (let i = 0; i < 100; i++) await ada.round();
  assert.equal(ada.closed, undefined);
});
