// The parts that run on the audio thread: playing, and capturing where there is no
// MediaStreamTrackProcessor.

import { Jitter } from "./jitter.js";

const reportEvery = 0.1; // s
const captureFrames = 480; // 10 ms

class Player extends AudioWorkletProcessor {
	#jitter;
	#over = false;
	#reported = 0;

	constructor({ processorOptions }) {
		super();
		this.#jitter = new Jitter({ rate: sampleRate, ...processorOptions });
		this.port.onmessage = ({ data }) => {
			if (data.channels) this.#jitter.push(data.channels, data.timestamp);
			if (data.target !== undefined) this.#jitter.aim(data.target);
			if (data.clear) this.#jitter.clear();
			if (data.stop) this.#over = true;
		};
	}

	process(_, [output]) {
		if (this.#over) return false;
		this.#jitter.pull(output);
		if (currentTime - this.#reported >= reportEvery) {
			this.#reported = currentTime;
			this.port.postMessage(this.#jitter.report());
		}
		return true;
	}
}

class Capture extends AudioWorkletProcessor {
	#samples = new Float32Array(captureFrames);
	#at = 0;
	#time = 0;

	process([[channel]]) {
		for (let i = 0; channel && i < channel.length; i++) {
			if (this.#at === 0) this.#time = currentTime + i / sampleRate;
			this.#samples[this.#at++] = channel[i];
			if (this.#at === captureFrames) {
				this.port.postMessage({ samples: this.#samples, time: this.#time }, [this.#samples.buffer]);
				this.#samples = new Float32Array(captureFrames);
				this.#at = 0;
			}
		}
		return true;
	}
}

registerProcessor("usher-player", Player);
registerProcessor("usher-capture", Capture);
