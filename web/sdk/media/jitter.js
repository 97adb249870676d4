// The audio that waits to be played. It runs inside an AudioWorklet, and is pure.

const smooth = 96; // samples over which a jump in the signal is evened out
const quiet = 0.01; // amplitude below which a pause may be made longer unheard

// A Jitter holds decoded samples and gives them out at the pace of the loudspeaker. It
// begins when enough wait, plays silence when it has run dry, and drops what makes it
// later than it need be. All lengths are in samples.
export class Jitter {
	#rate;
	#channels;
	#chunks = []; // {channels: Float32Array[], at: samples used, timestamp}
	#buffered = 0;
	#target;
	#playing = false;
	#last; // per channel, the sample given out last
	#jump; // per channel, what is left to even out
	#left = 0; // samples until it is even
	#cut = false; // what comes next does not follow what was
	#peak = 0; // most buffered since
	#window = 0; // samples given out in this window
	#energy = 0;
	#counted = 0;
	#counts = { underruns: 0, dropped: 0, inserted: 0, played: 0 };
	#timestamp = 0;

	constructor({ rate = 48000, channels = 1, target = 0.06 } = {}) {
		this.#rate = rate;
		this.#channels = channels;
		this.#target = target * rate;
		this.#last = new Float32Array(channels);
		this.#jump = new Float32Array(channels);
	}

	// aim sets how much is to wait, in seconds.
	aim(seconds) {
		this.#target = seconds * this.#rate;
	}

	// push adds a chunk: as many channels as there are, or one for all.
	push(channels, timestamp) {
		this.#chunks.push({ channels, at: 0, timestamp });
		this.#buffered += channels[0].length;
		this.#peak = Math.max(this.#peak, this.#buffered);
		// A flood, as after a page was asleep: only the end of it is still of use.
		if (this.#buffered > this.#target + this.#rate * 0.5) this.#drop(this.#buffered - this.#target);
	}

	clear() {
		this.#chunks = [];
		this.#buffered = this.#peak = 0;
		this.#cut = this.#playing; // it breaks off
		this.#playing = false;
	}

	// pull fills the output's channels.
	pull(output) {
		const n = output[0].length;
		if (!this.#playing && this.#buffered >= Math.max(this.#target, n)) {
			this.#playing = this.#cut = true;
			this.#peak = this.#buffered;
			this.#window = 0;
		}
		let cut = this.#cut ? 0 : -1;
		this.#cut = false;
		let i = 0;
		while (this.#playing && i < n) {
			const chunk = this.#chunks[0];
			if (!chunk) {
				this.#playing = false;
				this.#counts.underruns++;
				cut = i;
				break;
			}
			const many = Math.min(n - i, chunk.channels[0].length - chunk.at);
			for (let c = 0; c < output.length; c++) {
				const from = chunk.channels[Math.min(c, chunk.channels.length - 1)];
				output[c].set(from.subarray(chunk.at, chunk.at + many), i);
			}
			chunk.at += many;
			i += many;
			this.#timestamp = chunk.timestamp + (chunk.at * 1e6) / this.#rate;
			this.#take(many, chunk);
		}
		for (const channel of output) channel.fill(0, i);
		this.#counts.played += i;
		this.#even(output, cut);
		this.#measure(output[0]);
		if (this.#playing && (this.#window += n) >= this.#rate) this.#adapt();
	}

	#take(many, chunk) {
		this.#buffered -= many;
		if (chunk.at >= chunk.channels[0].length) this.#chunks.shift();
	}

	// even lets the signal go on from where it was when it was cut at that sample of the
	// output.
	#even(output, cut) {
		const n = output[0].length;
		for (let c = 0; c < output.length && c < this.#channels; c++) {
			const before = cut > 0 ? output[c][cut - 1] : this.#last[c];
			if (cut >= 0) this.#jump[c] = before - (cut < n ? output[c][cut] : 0);
		}
		if (cut >= 0) this.#left = smooth;
		const from = Math.max(cut, 0);
		const many = Math.min(n - from, this.#left);
		for (let c = 0; c < output.length && c < this.#channels; c++) {
			for (let i = 0; i < many; i++) output[c][from + i] += this.#jump[c] * ((this.#left - i) / smooth);
			this.#last[c] = output[c][n - 1];
		}
		this.#left -= many;
	}

	#measure(samples) {
		for (const s of samples) this.#energy += s * s;
		this.#counted += samples.length;
	}

	// adapt looks back on a second: what waited when the frames came fastest is how late
	// the sound is.
	#adapt() {
		const late = this.#peak - this.#target;
		if (late > this.#rate * 0.06) this.#drop(late);
		else if (late < -this.#rate * 0.04) this.#lengthen(-late);
		this.#window = 0;
		this.#peak = this.#buffered;
	}

	#drop(many) {
		this.#cut = true;
		let left = Math.floor(Math.min(many, this.#buffered));
		this.#counts.dropped += left;
		while (left > 0) {
			const chunk = this.#chunks[0];
			const some = Math.min(left, chunk.channels[0].length - chunk.at);
			chunk.at += some;
			left -= some;
			this.#take(some, chunk);
		}
	}

	// lengthen puts silence in front of what waits, if nobody is speaking.
	#lengthen(many) {
		const next = this.#chunks[0];
		if (!next || next.channels[0].some((s) => Math.abs(s) > quiet)) return;
		const silence = new Float32Array(Math.floor(many));
		this.#chunks.unshift({ channels: [silence], at: 0, timestamp: next.timestamp - (silence.length * 1e6) / this.#rate });
		this.#buffered += silence.length;
		this.#counts.inserted += silence.length;
	}

	// report tells how it went; level is the loudness (root of the mean square) since the
	// last report.
	report() {
		const level = this.#counted ? Math.sqrt(this.#energy / this.#counted) : 0;
		this.#energy = this.#counted = 0;
		return { ...this.#counts, level, playing: this.#playing, buffered: this.#buffered / this.#rate, timestamp: this.#timestamp };
	}
}
