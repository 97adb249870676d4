import assert from "node:assert/strict";
import test from "node:test";

import { Assembler, Gate, audioBacklog, fragment, headerBytes, maxFragmentBytes, parseFragment, videoBacklog } from "../frames.js";

const bytes = (n) => Uint8Array.from({ length: n }, (_, i) => i % 251);

test("a frame survives the wire, whatever its size", () => {
  for (const size of [0, 1, 100, maxFragmentBytes - 1, maxFragmentBytes, maxFragmentBytes + 1, 5 * maxFragmentBytes, 100_000]) {
    for (const [key, layer] of [[true, 0], [false, 1], [false, 3]]) {
      const frame = { key, layer, timestamp: 1_764_000_000_123_456, data: bytes(size) };
      const messages = fragment(0xfedcba98, 65537, frame);
      assert.equal(messages.length, Math.max(1, Math.ceil(size / maxFragmentBytes)));
      const assembler = new Assembler();
      let got = null;
      messages.forEach((m, i) => {
        assert.ok(m.length <= headerBytes + maxFragmentBytes);
        const part = parseFragment(m.buffer);
        assert.equal(part.handle, 0xfedcba98);
        assert.equal(part.counter, 1);
        assert.equal(part.key, key, "every fragment carries the flags");
        assert.equal(part.last, i === messages.length - 1);
        assert.equal(got, null);
        got = assembler.push(part);
      });
      assert.deepEqual(got, frame);
    }
  }
});

test("the header is that of docs/protocol.md", () => {
  const [m] = fragment(0x01020304, 0x0506, { key: true, layer: 2, timestamp: 0x1122334455, data: Uint8Array.of(9) });
  assert.deepEqual([...m], [1, 2, 3, 4, 1 | (2 << 1) | 8, 5, 6, 0, 0, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 9]);
});

test("what is no frame is none", () => {
  assert.equal(parseFragment(new ArrayBuffer(14)), null);
  const [m] = fragment(1, 1, { key: true, layer: 0, timestamp: 1, data: bytes(1) });
  m[4] |= 0x10;
  assert.equal(parseFragment(m.buffer), null);
});

test("a frame with a lost end is thrown away, and the next one is whole", () => {
  const assembler = new Assembler();
  const push = (m) => assembler.push(parseFragment(m.buffer));
  const broken = fragment(1, 1, { key: true, layer: 0, timestamp: 1, data: bytes(40_000) });
  const whole = { key: false, layer: 0, timestamp: 2, data: bytes(20_000) };
  assert.equal(push(broken[0]), null);
  assert.equal(push(broken[1]), null);
  const [a, b] = fragment(1, 2, whole);
  assert.equal(push(a), null);
  assert.deepEqual(push(b), whole);
});

test("video stops before audio when the socket backs up, and goes on with a key frame", () => {
  const video = new Gate("video");
  const audio = new Gate("audio");
  const wanted = [];
  const pass = (frame, backlog) => video.pass(frame, backlog, () => wanted.push(frame));
  const base = { key: false, layer: 0 };
  assert.ok(pass({ key: true, layer: 0 }, 0));
  assert.ok(pass(base, videoBacklog));
  assert.ok(!pass(base, videoBacklog + 1));
  assert.ok(audio.pass(base, videoBacklog + 1, assert.fail));
  assert.ok(!audio.pass(base, audioBacklog + 1, assert.fail));
  assert.ok(audio.pass(base, 0, assert.fail), "audio needs no key frame");
  assert.ok(!pass(base, 0), "it cannot be decoded without the one before");
  assert.ok(!pass({ key: false, layer: 1 }, 0));
  assert.equal(wanted.length, 1, "a key frame is asked for once");
  assert.ok(pass({ key: true, layer: 0 }, 0));
  assert.ok(pass(base, 0));
});

test("a higher temporal layer is dropped alone", () => {
  const gate = new Gate("video");
  const pass = (layer, backlog) => gate.pass({ key: false, layer }, backlog, assert.fail);
  assert.ok(pass(0, 0));
  assert.ok(!pass(1, videoBacklog + 1));
  assert.ok(!pass(2, 0), "it may depend on the one that was dropped");
  assert.ok(pass(0, 0));
  assert.ok(pass(1, 0));
});

test("what is too large or in too many pieces is thrown away to its end", () => {
  const assembler = new Assembler();
  const part = (counter, n, last = false) => ({ counter, last, key: true, layer: 0, timestamp: 1, data: bytes(n) });
  for (let i = 0; i < 1025; i++) assert.equal(assembler.push(part(1, maxFragmentBytes)), null);
  assert.equal(assembler.push(part(1, 100, true)), null, "not its tail either");
  for (let i = 0; i < 5000; i++) assert.equal(assembler.push(part(2, 1)), null);
  assert.equal(assembler.push(part(2, 1, true)), null);
  for (let i = 0; i < 100_000; i++) assert.equal(assembler.push(part(3, 0)), null);
  assert.equal(assembler.push(part(3, 9, true)).data.length, 9);
  assert.equal(assembler.push(part(4, 7, true)).data.length, 7);
});
