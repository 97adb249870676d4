// How loud sound is, ten times a second: the root of the mean square, 0 to 1.

export class Loudness {
	#tell;
	#energy = 0;
	#counted = 0;
	#last = 0;

	constructor(tell) {
		this.#tell = tell;
	}

	// add takes the next samples, of so many a second.
	add(samples, rate) {
		for (const s of samples) this.#energy += s * s;
		this.#counted += samples.length;
		if (this.#counted < rate / 10) return;
		const level = Math.min(1, Math.sqrt(this.#energy / this.#counted));
		this.#energy = this.#counted = 0;
		this.#say(level);
	}

	// silence is sound that comes no more.
	silence() {
		this.#energy = this.#counted = 0;
		if (this.#last > 0) this.#say(0);
	}

	#say(level) {
		this.#last = level;
		this.#tell(level);
	}
}
