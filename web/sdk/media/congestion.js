// How much to send. There is no feedback from the network but the socket's own
// queue: what lies in it, in ms of what the track really sends, is the measure. The
// target falls by a factor when the queue stays long, and rises by small steps when it
// stays short. Nothing here looks at a clock: the time is given, in ms.

import { Rate } from "./clock.js";

const good = 100; // ms of backlog up to which the target may rise
const bad = 300; // ms of backlog, lasting, from which it falls
const stop = 600; // ms of backlog, lasting, from which nothing more is put into the queue
const heap = 2000; // ms of backlog from which that is so at once
const lasting = 250; // ms; a key frame fills the queue too, but it drains
const settle = 500; // ms that a step down gets to take effect
const calm = 2000; // ms without a fall before it rises
const every = 500; // ms between steps up
const down = 0.7; // of what was really sent, if that is not much less
const up = 0.04; // of the maximum, per step up
const busy = 3; // frames waiting for the encoder that mean that it does not keep up

export class Congestion {
	#max;
	#min;
	#rate;
	#fps;
	#sent = new Rate();
	#backlogs = []; // {at, ms} of the last while
	#changed = -Infinity; // last step, up or down
	#fell = -Infinity;
	#full = false; // the queue reached stop, and has not drained yet
	#load = 1; // part of the frame rate that the encoder manages
	#loadChanged = -Infinity;
	#next = -Infinity; // timestamp in ms from which the next frame is wanted
	backlog = 0; // ms, at the last look

	constructor({ maxBitrate, minBitrate = Math.min(maxBitrate, 60_000), maxFramerate = 30 }) {
		this.#max = maxBitrate;
		this.#min = minBitrate;
		this.#rate = maxBitrate;
		this.#fps = maxFramerate;
	}

	// bitrate is what to encode with, in bit/s.
	get bitrate() {
		return Math.round(this.#rate);
	}

	// framerate is how many frames per second are worth that bitrate.
	get framerate() {
		const part = this.#rate / this.#max;
		const worth = part >= 0.5 ? 1 : part >= 0.25 ? 0.67 : 0.5;
		return Math.max(Math.min(5, this.#fps), this.#fps * worth * this.#load);
	}

	// halted tells that nothing may be sent until the queue has drained: whatever else
	// shares it, the voice first of all, has it for itself.
	get halted() {
		return this.#full;
	}

	// sent is told of each frame that went into the queue.
	sent(now, bytes) {
		this.#sent.add(bytes * 8, now);
	}

	// look takes the measure: bytes in the socket's queue, frames in the encoder's.
	// It is to be called with each captured frame.
	look(now, bytes, encoding = 0) {
		// A picture that hardly moves takes less than the target.
		const really = Math.min(this.#rate, this.#sent.perSecond(now) || this.#rate);
		const ms = (this.backlog = (bytes * 8000) / Math.max(really, this.#rate / 4, this.#min));
		this.#backlogs.push({ at: now, ms });
		while (this.#backlogs.length > 1 && this.#backlogs[1].at <= now - lasting) this.#backlogs.shift();
		const lasted = now - this.#backlogs[0].at >= lasting;
		const least = this.#backlogs.reduce((a, b) => Math.min(a, b.ms), Infinity);
		const most = this.#backlogs.reduce((a, b) => Math.max(a, b.ms), 0);

		if (ms >= heap || (lasted && least >= stop)) this.#full = true;
		else if (ms <= good) this.#full = false;
		if (lasted && least >= bad && now - this.#changed >= settle) {
			this.#step(now, Math.max(this.#min, Math.max(really, this.#rate * 0.6) * down));
			this.#fell = now;
		} else if (lasted && most <= good && this.#rate < this.#max && now - this.#fell >= calm && now - this.#changed >= every) {
			this.#step(now, Math.min(this.#max, this.#rate + this.#max * up));
		}
		if (encoding >= busy && now - this.#loadChanged >= settle) {
			this.#load = Math.max(0.2, this.#load * down);
			this.#loadChanged = now;
		} else if (encoding <= 1 && this.#load < 1 && now - this.#loadChanged >= calm) {
			this.#load = Math.min(1, this.#load + 0.1);
			this.#loadChanged = now;
		}
	}

	#step(now, rate) {
		this.#rate = rate;
		this.#changed = now;
		this.#backlogs = []; // they were measured against another rate
	}

	// wants tells whether to encode the frame captured at that time (ms): frames that
	// cannot be sent are left out before they cost anything, and before others are built
	// on them.
	wants(timestamp, encoding = 0) {
		if (this.#full || encoding >= busy) return false;
		const gap = 1000 / this.framerate;
		if (Math.abs(timestamp - this.#next) > 1000) this.#next = timestamp; // first, or after a pause
		if (timestamp < this.#next - gap * 0.25) return false; // cameras are not punctual
		this.#next = Math.max(this.#next + gap, timestamp - gap);
		return true;
	}
}
