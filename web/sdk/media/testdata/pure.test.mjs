// The parts that need no browser. Run by the Go test, or with node --test.

import assert from "node:assert/strict";
import { test } from "node:test";

import { decodeBase64, encodeBase64 } from "../base64.js";
import { CaptureClock, Delay, LipSync, Rate } from "../clock.js";
import { Congestion } from "../congestion.js";
import { Jitter } from "../jitter.js";

// A road carries capacity bit/s; what comes too fast waits in its queue (bytes).
function drive(congestion, { from = 0, seconds, fps = 25, capacity, other = 0, content = 1, encoding = () => 0 }) {
	let queue = 0;
	const seen = { sent: 0, left: 0, longest: 0, halted: 0, late: 0 }; // late: ms in the queue, really
	for (let i = 0; i < seconds * fps; i++) {
		const now = from + (i * 1000) / fps;
		queue = Math.max(0, queue - capacity / fps / 8) + other / fps / 8;
		congestion.look(now, queue, encoding(i));
		seen.longest = Math.max(seen.longest, congestion.backlog);
		seen.late = Math.max(seen.late, (queue * 8000) / capacity);
		seen.halted += congestion.halted;
		if (congestion.wants(now, encoding(i))) {
			seen.sent++;
			const bytes = (congestion.bitrate * content) / congestion.framerate / 8;
			congestion.sent(now, bytes);
			queue += bytes;
		} else {
			seen.left++;
		}
	}
	return seen;
}

test("a wide road: everything at the full rate", () => {
	const c = new Congestion({ maxBitrate: 500_000, maxFramerate: 25 });
	const seen = drive(c, { seconds: 20, capacity: 2_000_000 });
	assert.equal(c.bitrate, 500_000);
	assert.equal(seen.left, 0);
	assert.equal(c.halted, false);
});

for (const capacity of [400_000, 200_000, 90_000]) {
	test(`a road of ${capacity} bit/s: the target settles below, the queue stays short`, () => {
		const c = new Congestion({ maxBitrate: 500_000, maxFramerate: 25 });
		drive(c, { seconds: 20, capacity });
		const seen = drive(c, { from: 20_000, seconds: 30, capacity });
		assert.ok(c.bitrate < capacity * 1.4, `${c.bitrate} bit/s`);
		assert.ok(seen.longest < 1500 && seen.late < 1500, `${seen.longest} ms, ${seen.late} ms`);
		assert.ok(seen.sent > 30 * 4, `${seen.sent} frames`);
	});
}

test("a picture that takes less than the target is measured by what it takes", () => {
	const c = new Congestion({ maxBitrate: 500_000, maxFramerate: 25 });
	drive(c, { seconds: 20, capacity: 90_000, content: 0.3 });
	const seen = drive(c, { from: 20_000, seconds: 20, capacity: 90_000, content: 0.3 });
	assert.ok(seen.late < 1500, `${seen.late} ms`);
	assert.ok(c.bitrate > 90_000 && c.bitrate < 450_000, `${c.bitrate} bit/s`);
});

test("it recovers slowly, and up to the maximum", () => {
	const c = new Congestion({ maxBitrate: 500_000, maxFramerate: 25 });
	drive(c, { seconds: 10, capacity: 100_000 });
	const low = c.bitrate;
	assert.ok(low < 200_000);
	drive(c, { from: 10_000, seconds: 2, capacity: 1e9 });
	assert.ok(c.bitrate <= low + 100_000, `not at once: ${c.bitrate}`);
	drive(c, { from: 12_000, seconds: 20, capacity: 1e9 });
	assert.equal(c.bitrate, 500_000);
});

test("a road for nothing but the voice is left to it", () => {
	const c = new Congestion({ maxBitrate: 500_000, minBitrate: 60_000, maxFramerate: 25 });
	const seen = drive(c, { seconds: 20, capacity: 36_000, other: 32_000 });
	assert.equal(c.bitrate, 60_000);
	assert.ok(seen.halted > 20 * 25 * 0.6, `${seen.halted} of ${20 * 25}`);
});

test("one key frame in the queue is no congestion", () => {
	const c = new Congestion({ maxBitrate: 500_000, maxFramerate: 25 });
	for (let i = 0; i < 500; i++) {
		c.look(i * 40, i % 100 < 5 ? 25_000 - (i % 100) * 5000 : 0); // a second of it, draining
		assert.equal(c.wants(i * 40), true);
		c.sent(i * 40, i % 100 ? 1000 : 25_000);
	}
	assert.equal(c.bitrate, 500_000);
});

test("an encoder that does not keep up gets fewer frames, and more again", () => {
	const c = new Congestion({ maxBitrate: 500_000, maxFramerate: 25 });
	drive(c, { seconds: 5, capacity: 1e9, encoding: (i) => (i % 2 ? 4 : 3) });
	assert.ok(c.framerate <= 6, `${c.framerate} fps`);
	drive(c, { from: 5000, seconds: 30, capacity: 1e9 });
	assert.equal(c.framerate, 25);
});

test("frames are left out evenly", () => {
	const c = new Congestion({ maxBitrate: 500_000, maxFramerate: 10 });
	const wanted = Array.from({ length: 300 }, (_, i) => c.wants(i * 40 + (i % 3) * 4) && i).filter((i) => i !== false);
	assert.ok(Math.abs(wanted.length - 120) < 8, `${wanted.length} of 300 at 25 for 10 per second`);
	for (let i = 1; i < wanted.length; i++) assert.ok(wanted[i] - wanted[i - 1] <= 4);
});

test("base64", () => {
	const bytes = Uint8Array.from({ length: 20_000 }, (_, i) => i * 7);
	assert.deepEqual(decodeBase64(encodeBase64(bytes)), bytes);
	assert.deepEqual(decodeBase64(encodeBase64(bytes.subarray(3, 9))), bytes.slice(3, 9));
	assert.equal(encodeBase64(new Uint8Array([1, 2, 3]).buffer), "AQID");
});

test("a capture clock: least delay counts, time grows, jumps are followed", () => {
	let now = 1_000_000_000;
	const clock = new CaptureClock(() => now);
	let last = 0;
	for (let i = 0; i < 100; i++) {
		now = 1_000_000_000 + i * 40_000 + (i % 5) * 3000;
		clock.seen(500 + i * 40_000);
		const wall = clock.wall(500 + i * 40_000);
		assert.ok(Number.isInteger(wall) && wall > last);
		assert.ok(Math.abs(wall - (1_000_000_000 + i * 40_000)) < 3000);
		last = wall;
	}
	now += 60_000_000;
	clock.seen(0);
	assert.equal(clock.wall(0), now);
	clock.restart();
	now += 1000;
	clock.seen(7);
	assert.equal(clock.wall(7), now);
	assert.equal(clock.wall(7), now + 1);
});

test("the delay follows what comes late, up to its bounds", () => {
	const even = new Delay({ min: 40, max: 200 });
	assert.equal(even.arrived(0, 5000), true);
	for (let i = 1; i < 50; i++) assert.equal(even.arrived(i * 20, 5000 + i * 20), false);
	assert.equal(even.target, 40);
	assert.equal(even.due(1000), 6040);

	const uneven = new Delay({ min: 0, max: 200 });
	for (let i = 0; i < 50; i++) uneven.arrived(i * 40, 5000 + i * 40 + (i % 4) * 30);
	assert.ok(uneven.target >= 90 && uneven.target <= 100, `${uneven.target}`);
	for (let i = 50; i < 1000; i++) uneven.arrived(i * 40, 5000 + i * 40);
	assert.ok(uneven.target < 10, `${uneven.target}`);
	for (let i = 0; i < 50; i++) uneven.arrived((1000 + i) * 40, 45_000 + i * 40 + (i % 2) * 900);
	assert.equal(uneven.target, 200);
	// The way becomes longer for good.
	for (let i = 0; i < 300; i++) uneven.arrived((2000 + i) * 40, 86_000 + i * 40);
	assert.equal(Math.round(uneven.transit), 6000);
	assert.equal(uneven.arrived(0, 1e9), true);
});

test("lips wait for the voice, or the other way round, but not for ever", () => {
	const sync = new LipSync();
	const [voice, lips] = [new Delay({ min: 40 }), new Delay({ min: 0 })];
	voice.arrived(0, 1000);
	lips.arrived(0, 1070);
	assert.equal(sync.extra("voice", voice, 0), 0);
	assert.equal(sync.extra("lips", lips, 0), 0);
	assert.equal(sync.extra("voice", voice, 10), 35); // 1075 less 1040
	assert.equal(sync.extra("voice", voice, 5000), 0);
	lips.arrived(0, 1000);
	sync.leave("voice");
	assert.equal(sync.extra("lips", lips, 5000), 0);
});

test("a rate", () => {
	const rate = new Rate(2000);
	assert.equal(rate.perSecond(0), 0);
	for (let i = 0; i < 100; i++) rate.add(1, i * 40);
	assert.ok(Math.abs(rate.perSecond(4000) - 25) < 1);
	assert.equal(rate.perSecond(9000), 0);
});

const tone = (n, from = 0) => Float32Array.from({ length: n }, (_, i) => 0.5 * Math.sin(((from + i) * 2 * Math.PI * 440) / 48000));

// play gives the buffer 20 ms of tone per 20 ms, as feed says, and returns what comes out.
function play(jitter, ms, feed, from = 0) {
	const out = [];
	let next = from; // when the next are due, in samples
	let content = from; // of the tone, given so far
	for (let t = 0; t < (ms * 48) / 128; t++) {
		while (next - from <= t * 128) {
			for (const given of [feed((next - from) / 48)].flat()) {
				if (given) jitter.push([tone(960, content)], (content * 1e6) / 48000);
				content += 960;
			}
			next += 960;
		}
		const block = [new Float32Array(128)];
		jitter.pull(block);
		out.push(...block[0]);
	}
	return out;
}

const steepest = (samples) => samples.reduce((m, s, i) => (i ? Math.max(m, Math.abs(s - samples[i - 1])) : 0), 0);

test("sound comes out as it went in, after the delay, without a click", () => {
	const jitter = new Jitter({ target: 0.06 });
	const out = play(jitter, 2000, () => true);
	const { underruns, dropped, level, playing, buffered } = jitter.report();
	assert.deepEqual({ underruns, dropped, playing }, { underruns: 0, dropped: 0, playing: true });
	assert.ok(level > 0.3 && level < 0.4, `${level}`);
	assert.ok(buffered > 0.03 && buffered < 0.09, `${buffered}`);
	const begin = out.findIndex((s) => s !== 0) / 48;
	assert.ok(begin >= 35 && begin <= 65, `${begin} ms`);
	assert.ok(steepest(out) < 0.05, `${steepest(out)}`);
});

test("it runs dry: silence, softly, and then the delay again", () => {
	const jitter = new Jitter({ target: 0.06 });
	const out = play(jitter, 2000, (ms) => ms < 500 || ms >= 1000);
	assert.equal(jitter.report().underruns, 1);
	assert.ok(out.slice(700 * 48, 1000 * 48).every((s) => s === 0));
	assert.ok(out.slice(1200 * 48).some((s) => s > 0.4));
	assert.ok(steepest(out) < 0.06, `${steepest(out)}`);
});

test("what came late in a heap is not late for ever", () => {
	const jitter = new Jitter({ target: 0.06 });
	const late = play(jitter, 3000, (ms) => (ms === 400 ? Array(15).fill(true) : true)); // 280 ms more than is played
	const { dropped, buffered } = jitter.report();
	assert.ok(dropped > 48 * 150, `${dropped}`);
	assert.ok(buffered < 0.15, `${buffered}`);
	assert.ok(steepest(late) < 0.06, `${steepest(late)}`);
	const flood = new Jitter({ target: 0.06 });
	for (let i = 0; i < 200; i++) flood.push([tone(960)], 0);
	assert.ok(flood.report().buffered < 0.6);
});

test("a longer delay is reached in a silence", () => {
	const jitter = new Jitter({ target: 0.06 });
	play(jitter, 1000, () => true);
	jitter.aim(0.2);
	const pull = (ms) => {
		for (let t = 0; t < (ms * 48) / 128; t++) {
			if (t % 7.5 < 1) jitter.push([new Float32Array(960)], 0);
			jitter.pull([new Float32Array(128)]);
		}
	};
	pull(4000);
	const { inserted, buffered, underruns } = jitter.report();
	assert.ok(inserted > 48 * 80 && buffered > 0.13 && underruns === 0, JSON.stringify({ inserted, buffered, underruns }));
});

test("stereo, and one channel for two", () => {
	const jitter = new Jitter({ channels: 2, target: 0.02 });
	jitter.push([tone(960), new Float32Array(960).fill(0.25)], 0);
	jitter.push([tone(960, 960)], 20_000);
	const [left, right] = [new Float32Array(1920), new Float32Array(1920)];
	jitter.pull([left, right]);
	assert.ok(Math.abs(right[500] - 0.25) < 1e-6);
	assert.ok(Math.abs(right[1900] - left[1900]) < 1e-6);
	assert.equal(jitter.report().timestamp, 40_000);
	jitter.clear();
	assert.equal(jitter.report().buffered, 0);
});
