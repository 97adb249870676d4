// Time. Frames carry the wall clock of the publishing page; captured frames carry
// clocks of their own, that begin anywhere and differ between camera and microphone.

// wallMicros is the page's clock in µs.
export const wallMicros = () => Math.round((performance.timeOrigin + performance.now()) * 1000);

const leak = 20; // µs per frame that the offset may grow, for clocks that drift
const jump = 2_000_000; // µs; a capture clock that is off by more was restarted, or slept

// A CaptureClock puts the timestamps of one source on the page's clock. What comes
// with the least delay tells how far apart the two clocks are.
export class CaptureClock {
	#now;
	#offset = NaN;
	#last = -Infinity;

	constructor(now = wallMicros) {
		this.#now = now;
	}

	// seen is called with the timestamp of each captured frame as it comes.
	seen(timestamp) {
		const apart = this.#now() - timestamp;
		if (!(Math.abs(apart - this.#offset) < jump)) this.#offset = apart;
		else this.#offset = Math.min(apart, this.#offset + leak);
	}

	// restart is called when another source takes over.
	restart() {
		this.#offset = NaN;
	}

	// wall is a frame's time on the page's clock: whole, and later than the one before.
	wall(timestamp) {
		const at = Math.round(timestamp + (Number.isNaN(this.#offset) ? this.#now() - timestamp : this.#offset));
		this.#last = Math.max(at, this.#last + 1);
		return this.#last;
	}
}

const remembered = 150; // frames: three seconds of sound, some more of a picture

// A Delay tells when to show what arrives unevenly: as late as nearly all
// of it needs, within bounds. All times are in ms.
export class Delay {
	#min;
	#max;
	#base = NaN; // arrival less timestamp, of the recent frames that came fastest
	#apart = []; // arrival less timestamp of the recent frames, as a ring
	#at = 0;
	target;

	constructor({ min = 0, max = 200 } = {}) {
		this.#min = min;
		this.#max = max;
		this.target = min;
	}

	// arrived takes note of a frame and tells whether the clocks had to be set anew.
	arrived(timestamp, now) {
		const apart = now - timestamp;
		const anew = !(Math.abs(apart - this.#base) < 2000);
		if (anew) {
			this.#apart = [];
			this.#at = 0;
		}
		this.#apart[this.#at++ % remembered] = apart;
		const sorted = Float64Array.from(this.#apart).sort();
		this.#base = sorted[0];
		const need = sorted[Math.floor((sorted.length - 1) * 0.95)] - this.#base + 5;
		const wanted = Math.min(this.#max, Math.max(this.#min, need));
		// Up at once, down slowly: stutter is worse than delay.
		this.target = wanted > this.target ? wanted : Math.max(wanted, this.target - 0.5);
		return anew;
	}

	// due is when to show what has that timestamp. extra delays further, for the sake
	// of a slower companion.
	due(timestamp, extra = 0) {
		return timestamp + this.#base + this.target + extra;
	}

	// transit is the fastest arrival against the publisher's clock. With target it is
	// when things are shown, comparable between the tracks of one publisher.
	get transit() {
		return this.#base;
	}
}

// A Rate counts what went by in the last seconds. Times are in ms.
export class Rate {
	#window;
	#entries = []; // [time, amount]
	#sum = 0;

	constructor(window = 2000) {
		this.#window = window;
	}

	add(amount, now = performance.now()) {
		this.#entries.push([now, amount]);
		this.#sum += amount;
		this.#trim(now);
	}

	#trim(now) {
		let gone = 0;
		while (gone < this.#entries.length && this.#entries[gone][0] <= now - this.#window) this.#sum -= this.#entries[gone++][1];
		if (gone) this.#entries.splice(0, gone);
	}

	// perSecond is the sum of the window over its length, or over the time since the
	// first entry while there is less.
	perSecond(now = performance.now()) {
		this.#trim(now);
		if (!this.#entries.length) return 0;
		const span = Math.max(now - this.#entries[0][0], Math.min(500, this.#window));
		return (this.#sum * 1000) / span;
	}
}

const alive = 2000; // ms without a frame after which nobody waits for a track
const most = 200; // ms that one track waits for the others at most

// A LipSync keeps tracks of one publisher together: give the same one to the
// receivers of its microphone and its camera. What would be early waits.
export class LipSync {
	#tracks = new Map(); // track → {shown: when timestamp 0 is shown, at}

	// extra tells how long track has to wait beyond its own delay.
	extra(track, delay, now = performance.now()) {
		const own = delay.transit + delay.target;
		this.#tracks.set(track, { shown: own, at: now });
		let latest = own;
		for (const [other, { shown, at }] of this.#tracks) {
			if (now - at > alive) this.#tracks.delete(other);
			else latest = Math.max(latest, shown);
		}
		return Math.min(most, latest - own);
	}

	leave(track) {
		this.#tracks.delete(track);
	}
}
