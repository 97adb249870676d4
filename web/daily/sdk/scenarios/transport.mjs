// §0: addresses, keys, errors, statuses.

import assert from "node:assert/strict";
import { apiKey, domainId, scenario } from "../scene.mjs";

scenario("transport: the domain is told at /v1 and /v1/ (§0)", async (s) => {
  for (const path of ["", "/"]) {
    const got = await s.api("GET", path);
    assert.deepEqual([got.domain_name, got.domain_id, typeof got.config], ["dev", domainId, "object"]);
  }
});

scenario("transport: a missing key is 400, a wrong one 401 without a word (§0)", async (s) => {
  for (const headers of [{}, { Authorization: apiKey }, { Authorization: `Basic ${apiKey}` }, { Authorization: "Bearer" }, { Authorization: "" }]) {
    const got = await s.call("GET", "/rooms", undefined, headers);
    assert.deepEqual([got.status, got.json.error], [400, "authorization-header-error"], JSON.stringify(headers));
  }
  for (const key of ["wrong", `${apiKey}x`, "sk_dev_secret", "devkey"]) {
    for (const [method, path] of [["GET", "/rooms"], ["GET", "/"], ["POST", "/meeting-tokens"], ["DELETE", "/rooms/x"]]) {
      const got = await s.call(method, path, undefined, { Authorization: `Bearer ${key}` });
      assert.deepEqual([got.status, got.text.trim()], [401, '{"error":"authentication-error"}'], `${key} ${method} ${path}`);
    }
  }
});

scenario("transport: slashes at the end, and JSON whatever its type is called (§0)", async (s) => {
  const headers = { Authorization: `Bearer ${apiKey}`, "Content-Type": "text/plain" };
  const made = await s.call("POST", "/rooms/", JSON.stringify({ name: s.room() }), headers);
  assert.equal(made.status, 200, made.text);
  assert.equal((await s.api("GET", `/rooms/${s.room()}/`)).name, s.room());
  assert.equal((await s.call("POST", "/rooms", undefined, { Authorization: `Bearer ${apiKey}` })).status, 200, "no body at all");
  assert.equal((await s.call("DELETE", `/rooms/${s.room()}/`, undefined, headers)).status, 200);
});

scenario("transport: what is no JSON, what is not there, what is not offered (§0)", async (s) => {
  for (const body of ["{", "nonsense", '{"name":"x"']) {
    await s.refused(400, "json-parsing-error", undefined, "POST", "/rooms", body);
  }
  for (const body of ["[]", "7", '"x"', '{"properties":[]}', '{"properties":7}', '{"name":7}', '{"privacy":"secret"}']) {
    await s.refused(400, "invalid-request-error", undefined, "POST", "/rooms", body);
  }
  for (const [method, path] of [["GET", "/nothing"], ["PUT", "/rooms"], ["PATCH", `/rooms/${s.room()}`], ["GET", "/rooms/x/nothing"]]) {
    await s.refused(404, "not-found", undefined, method, path);
  }
  for (const path of ["/recordings", "/rooms/x/recordings/start", "/rooms/x/live-streaming/start", "/rooms/x/transcription/start", "/rooms/x/dialOut/start", "/logs", "/phone-numbers"]) {
    await s.refused(404, "not-found", /not offered/, path === "/recordings" || path === "/logs" ? "GET" : "POST", path);
  }
});

scenario("transport: an idle domain has no rate limits unless it wants them (§0)", async (s) => {
  const name = s.room();
  await s.api("POST", "/rooms", { name });
  const answers = await Promise.all(Array.from({ length: 150 }, () => s.call("GET", `/rooms/${name}`)));
  assert(answers.every((a) => a.status === 200));
});

scenario("transport: with rate limits the answer is 429 (§0)", async (s) => {
  await s.own("configured server");
  s.key = "an-api-key-of-32-characters-or-more";
  const answers = await Promise.all(Array.from({ length: 150 }, () => s.call("GET", "/rooms")));
  const refused = answers.filter((a) => a.status === 429);
  assert(refused.length > 0 && refused.length < 150, `${refused.length} of 150`);
  for (const a of refused) assert.equal(a.json.error, "rate-limit-error");
});

scenario("transport: what a project says of everybody is kept, and null resets it (§0)", async (s) => {
  await s.own();
  const set = await s.api("POST", "/", { properties: { enable_chat: true, permissions: { canSend: ["audio"], canAdmin: false } } });
  assert.equal(set.config.enable_chat, true);
  assert.deepEqual((await s.api("GET", "/")).config, set.config);
  const room = await s.made("room");
  const someone = await s.enter(await s.token({ room_name: room, user_name: "Ada" }));
  assert.deepEqual(someone.me.permissions.canPublishSources, ["microphone"]);
  // At once, for those who are there, too.
  await s.api("POST", "/", { properties: { permissions: null, enable_chat: null } });
  await someone.mayNow((p) => p.canPublish && !p.canPublishSources.length);
  assert.equal((await s.api("GET", "/")).config.enable_chat, undefined);
});
