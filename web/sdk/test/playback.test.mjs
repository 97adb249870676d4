import assert from "node:assert/strict";
import test from "node:test";

import { settled } from "./fake.mjs";

test("a worklet that could not be loaded is loaded when it is wanted again", async () => {
  const contexts = [];
  let fail = true;
  globalThis.document = { addEventListener() {}, removeEventListener() {} };
  globalThis.AudioDecoder = class {};
  globalThis.AudioContext = class {
    state = "running";
    destination = {};
    closed = false;
    loads = 0;
    audioWorklet = {
      addModule: async () => {
        this.loads++;
        if (fail) throw new Error("network");
      },
    };
    constructor() {
      contexts.push(this);
    }
    addEventListener() {}
    async resume() {}
    async suspend() {}
    async close() {
      this.closed = true;
    }
  };
  const connected = [];
  globalThis.AudioWorkletNode = class {
    port = { postMessage() {}, close() {} };
    constructor(context) {
      this.context = context;
    }
    connect(to) {
      connected.push(to);
    }
    disconnect() {}
  };
  const { createAudioReceiver } = await import("../media/audio-receiver.js");
  const errors = [];
  const make = () => createAudioReceiver({ codec: { codec: "opus", config: {} }, onError: (e) => errors.push(e.message) });
  const first = await make();
  first.attach();
  await settled();
  assert.equal(errors.length, 1);
  assert.match(errors[0], /network/);
  assert.equal(contexts[0].closed, true);

  fail = false;
  const second = await make();
  second.attach();
  first.attach(); // and so does the one that failed
  await settled();
  assert.equal(errors.length, 1);
  assert.equal(contexts.length, 2);
  assert.equal(contexts[1].loads, 1);
  assert.ok(connected.length >= 2 && connected.every((to) => to === contexts[1].destination));
  first.stop();
  second.stop();
});
