// Plays scenarios for a test in Go, which starts and ends the servers. What it
// says comes on stdin, one JSON object a line, and what it is told on stdout.
//
//   <- {"scenarios":["rooms: they are made",…]}
//   -> {"play":"rooms: they are made","url":"http://127.0.0.1:7880"}
//   <- {"of":"rooms: they are made","ask":"kill","id":3}
//   -> {"of":"rooms: they are made","id":3,"answer":"…"}
//   <- {"of":"rooms: they are made","done":true,"error":"…"}
//
// Scenarios that are begun at once are played at once.

import { createInterface } from "node:readline";
import { Scene, scenarios } from "./scene.mjs";
import "./scenarios/transport.mjs";
import "./scenarios/tokens.mjs";
import "./scenarios/times.mjs";
import "./scenarios/rooms.mjs";
import "./scenarios/live.mjs";
import "./scenarios/permissions.mjs";
import "./scenarios/lobby.mjs";
import "./scenarios/webhooks.mjs";
import "./scenarios/restart.mjs";

const tell = (o) => process.stdout.write(JSON.stringify(o) + "\n");

const playing = new Map(); // scenes by name
tell({ scenarios: [...scenarios.keys()] });

async function play({ play: name, url }) {
  const scene = new Scene(name, url, (id, ask) => tell({ of: name, id, ask }));
  playing.set(name, scene);
  let error = "";
  try {
    await scenarios.get(name)(scene);
  } catch (e) {
    error = [e?.stack ?? String(e), ...scene.accounts()].join("\n");
  }
  await scene.end();
  playing.delete(name);
  tell({ of: name, done: true, error });
}

for await (const line of createInterface({ input: process.stdin })) {
  const told = JSON.parse(line);
  if (told.play !== undefined) play(told);
  else playing.get(told.of)?.answered(told.id, told.answer);
}
process.exit(0); // whatever still waits
