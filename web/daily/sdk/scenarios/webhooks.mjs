// §5: webhooks, as a backend with node:http receives and checks them.

import assert from "node:assert/strict";
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { scenario, until } from "../scene.mjs";

const all = ["meeting.started", "meeting.ended", "participant.joined", "participant.left", "waiting-participant.joined", "waiting-participant.left"];

/** A backend is a web server, what it was sent, and how it answers. */
async function backend(s) {
  const b = { got: [], status: 200 };
  const server = createServer((req, res) => {
    let body = "";
    req.on("data", (part) => (body += part));
    req.on("end", () => {
      const status = b.answer ? b.answer(body) : b.status;
      b.got.push({ body, headers: req.headers, status });
      res.writeHead(status).end();
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  s.atEnd(() => (server.closeAllConnections(), new Promise((done) => server.close(done))));
  b.url = `http://127.0.0.1:${server.address().port}/hook`;
  b.events = () => b.got.filter((g) => g.status === 200).map((g) => JSON.parse(g.body)).filter((e) => e.type);
  b.event = (type, like = () => true) => until(`the event ${type}`, () => b.events().find((e) => e.type === type && like(e)));
  return b;
}

/** verified is the check that Daily documents: over what is received, or over what it parses to. */
function verified({ body, headers }, hmac) {
  const timestamp = headers["x-webhook-timestamp"];
  for (const text of [body, JSON.stringify(JSON.parse(body))]) {
    const want = createHmac("sha256", Buffer.from(hmac, "base64")).update(`${timestamp}.${text}`).digest("base64");
    const got = headers["x-webhook-signature"] ?? "";
    if (want.length !== got.length || !timingSafeEqual(Buffer.from(want), Buffer.from(got))) return false;
  }
  return true;
}

scenario("webhooks: made with a probe, signed, told of a meeting (§5)", async (s) => {
  await s.own();
  const b = await backend(s);
  const hook = await s.api("POST", "/webhooks", { url: b.url, eventTypes: all, basicAuth: "c2VjcmV0" });
  assert.deepEqual([hook.url, hook.state, hook.retryType, hook.failedCount], [b.url, "ACTIVE", "circuit-breaker", 0]);
  assert(hook.uuid && Buffer.from(hook.hmac, "base64").length > 0);
  assert.deepEqual(JSON.parse(b.got[0].body), { test: "test" });
  const room = await s.made("room", { enable_knocking: true });
  const exp = Math.floor(Date.now() / 1000) + 600;
  const ada = await s.enter(await s.token({ room_name: room, user_id: "ada", user_name: "Ada", is_owner: true, exp, eject_at_token_exp: true }));
  const guest = s.person({ room, name: "Guest" });
  await guest.waits();
  await b.event("waiting-participant.joined");
  await ada.request({ type: "denyParticipant", all: true });
  await guest.end();
  ada.send({ type: "leave" });
  await ada.end();
  const ended = await b.event("meeting.ended");
  await b.event("waiting-participant.left");
  for (const g of b.got.slice(1)) {
    assert(verified(g, hook.hmac), g.body);
    assert.equal(g.headers.authorization, "Basic c2VjcmV0");
  }
  const started = await b.event("meeting.started");
  assert.deepEqual([started.version, started.payload.room, started.payload.meeting_id], ["1.0.0", room, ended.payload.meeting_id]);
  assert(ended.payload.end_ts >= ended.payload.start_ts && typeof started.event_ts === "number");
  const joined = await b.event("participant.joined");
  assert.deepEqual(
    [joined.payload.room, joined.payload.user_id, joined.payload.user_name, joined.payload.session_id, joined.payload.owner, joined.payload.will_eject_at],
    [room, "ada", "Ada", ada.me.sid, true, exp]);
  assert.deepEqual(joined.payload.permissions, { hasPresence: true, canSend: true, canReceive: { base: true }, canAdmin: true });
  const left = await b.event("participant.left");
  assert(left.payload.duration >= 0 && left.payload.session_id === ada.me.sid);
  const ids = b.events().map((e) => e.id);
  assert.equal(new Set(ids).size, ids.length);
});

scenario("webhooks: managed (§5)", async (s) => {
  await s.own();
  const b = await backend(s);
  b.status = 500;
  await s.refused(400, "invalid-request-error", undefined, "POST", "/webhooks", { url: b.url });
  assert.deepEqual(await s.api("GET", "/webhooks"), []);
  b.status = 200;
  const hmac = Buffer.from("a secret of the application's").toString("base64");
  const hook = await s.api("POST", "/webhooks", { url: b.url, eventTypes: ["participant.joined"], hmac, retryType: "exponential" });
  assert.deepEqual([hook.hmac, hook.eventTypes, hook.retryType], [hmac, ["participant.joined"], "exponential"]);
  assert.deepEqual((await s.api("GET", `/webhooks/${hook.uuid}`)).uuid, hook.uuid);
  const room = await s.made("room");
  await s.enter(await s.token({ room_name: room, user_id: "ada" }));
  await b.event("participant.joined");
  assert.deepEqual([...new Set(b.events().map((e) => e.type))], ["participant.joined"]);
  assert(verified(b.got.at(-1), hmac));
  const changed = await s.api("POST", `/webhooks/${hook.uuid}`, { eventTypes: ["participant.left"] });
  assert.deepEqual(changed.eventTypes, ["participant.left"]);
  const gone = await s.call("DELETE", `/webhooks/${hook.uuid}`);
  assert.deepEqual([gone.status, gone.text], [200, ""]);
  await s.refused(404, "not-found", undefined, "GET", `/webhooks/${hook.uuid}`);
  for (const body of [{}, { url: b.url }, { url: "x", eventTypes: all }, { url: b.url, eventTypes: ["nonsense"] }, { url: b.url, eventTypes: all, hmac: "no base64!" }, { url: b.url, eventTypes: all, retryType: "never" }, { url: b.url, eventTypes: all, more: 1 }]) {
    await s.refused(400, "invalid-request-error", undefined, "POST", "/webhooks", body);
  }
});

scenario("webhooks: three failures open the circuit, a change closes it (§5)", async (s) => {
  await s.own();
  const b = await backend(s);
  const hook = await s.api("POST", "/webhooks", { url: b.url, eventTypes: ["participant.joined"] });
  b.status = 500;
  const room = await s.made("room");
  const join = async (user_id) => s.enter(await s.token({ room_name: room, user_id }));
  for (const i of [1, 2, 3]) {
    await join(`user-${i}`);
  }
  const state = async () => (await s.api("GET", `/webhooks/${hook.uuid}`)).state;
  await until("the circuit is open", async () => (await state()) === "FAILED");
  b.status = 200;
  await s.api("POST", `/webhooks/${hook.uuid}`, {});
  assert.equal(await state(), "ACTIVE");
  await join("user-4");
  await b.event("participant.joined", (e) => e.payload.user_id === "user-4");
});

scenario("webhooks: outlive kill -9 (§5)", async (s) => {
  await s.own();
  const b = await backend(s);
  const hook = await s.api("POST", "/webhooks", { url: b.url, eventTypes: ["participant.joined"] });
  await s.ask("kill");
  await s.again();
  assert.equal((await s.api("GET", `/webhooks/${hook.uuid}`)).hmac, hook.hmac);
  const room = await s.made("room");
  await s.enter(await s.token({ room_name: room, user_id: "ada" }));
  await b.event("participant.joined", (e) => e.payload.user_id === "ada");
  assert(verified(b.got.at(-1), hook.hmac));
});
