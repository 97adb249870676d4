// Plays scenarios for a test in Go, which starts and ends the servers. What it
// says comes on stdin, one JSON object a line, and what it is told on stdout.
//
//   <- {"scenarios":["people: they meet",…]}
//   -> {"play":"people: they meet","url":"http://127.0.0.1:7880","size":"usual","seed":7}
//   <- {"of":"people: they meet","ask":"kill","id":3}
//   -> {"of":"people: they meet","id":3,"answer":"…"}
//   <- {"of":"people: they meet","done":true,"error":"…"}
//
// Scenarios that are begun at once are played at once.

import { createInterface } from "node:readline";
import { Scene, scenarios } from "./scene.mjs";
import "./scenarios/people.mjs";
import "./scenarios/permissions.mjs";
import "./scenarios/live.mjs";
import "./scenarios/races.mjs";
import "./scenarios/rooms.mjs";
import "./scenarios/presence.mjs";
import "./scenarios/storage.mjs";
import "./scenarios/products.mjs";
import "./scenarios/sockets.mjs";
import "./scenarios/restart.mjs";
import "./scenarios/older.mjs";
import "./scenarios/kinds.mjs";
import "./scenarios/resolution.mjs";

// Only what Go reads may be on stdout, and the SDKs have something to say, too.
console.log = console.info = console.debug = console.warn = console.error;
const tell = (o) => process.stdout.write(JSON.stringify(o) + "\n");

const playing = new Map(); // scenes by name
tell({ scenarios: [...scenarios.keys()] });

async function play({ play: name, ...given }) {
  const scene = new Scene(name, given, (id, ask) => tell({ of: name, id, ask }));
  playing.set(name, scene);
  let error = "";
  try {
    await scenarios.get(name)(scene);
  } catch (e) {
    error = [e?.stack ?? String(e), ...scene.accounts()].join("\n");
  }
  scene.end();
  playing.delete(name);
  tell({ of: name, done: true, error });
}

for await (const line of createInterface({ input: process.stdin })) {
  const told = JSON.parse(line);
  if (told.play !== undefined) play(told);
  else playing.get(told.of)?.answered(told.id, told.answer);
}
process.exit(0); // whatever the SDKs still wait for
