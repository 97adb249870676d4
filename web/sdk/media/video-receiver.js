// Video frames into a picture: decoded, held back until they come evenly, shown.

import { decodeBase64 } from "./base64.js";
import { supported } from "./capabilities.js";
import { Delay, Rate } from "./clock.js";
import { MediaError } from "./errors.js";
import { Picture } from "./picture.js";

const delays = { min: 0, max: 200 }; // ms
const askAgain = 1000; // ms between requests for a key frame while there is none
const waitingMost = 12; // decoded frames; they are large
const slow = [60, 12, 4, 4]; // frames waiting for the decoder from which a layer is left out
const whole = 4; // above every layer
const maxFailures = 5; // of the decoder without a picture in between
const blind = "This video cannot be shown: ";

// createVideoReceiver shows frames. Nothing is decoded while it is attached to nothing
// and mediaStreamTrack was never looked at. requestKeyFrame is called, again and again,
// while it cannot go on without one. sync, a LipSync, keeps it together with a voice.
export function createVideoReceiver({ codec, requestKeyFrame = () => {}, onError = () => {}, sync }) {
	return new VideoReceiver(codec, requestKeyFrame, onError, sync);
}

class VideoReceiver {
	#config;
	#askKeyFrame;
	#onError;
	#sync;
	#decoder = null;
	#failures = 0;
	#dead = false;
	#picture = new Picture();
	#delay = new Delay(delays);
	#extra = 0;

	#needsKey = true;
	#asked = -Infinity;
	#broken = whole; // the lowest layer of which something is missing
	#waiting = []; // decoded, by time
	#timer = 0;
	#muted = false;
	#stopped = false;
	#size = { width: 0, height: 0 };
	#shown = new Rate();
	#bits = new Rate();
	#totals = { received: 0, decoded: 0, rendered: 0, dropped: 0, keyFrames: 0, keyFramesRequested: 0, errors: 0, layers: [0, 0, 0, 0] };

	constructor(codec, requestKeyFrame, onError, sync) {
		this.#askKeyFrame = requestKeyFrame;
		this.#onError = onError;
		this.#sync = sync;
		try {
			if (typeof globalThis.VideoDecoder !== "function") throw new Error("this browser lacks WebCodecs (VideoDecoder)");
			const { codec: name, description } = codec?.config ?? codec ?? {};
			if (typeof name !== "string") throw new Error("its publisher does not say how to decode it");
			this.#config = { codec: name, optimizeForLatency: true, ...(description && { description: decodeBase64(description) }) };
			supported("VideoDecoder", this.#config).then((can) => {
				if (!can) this.#die("unsupported", `this browser cannot decode ${name}`);
			});
		} catch (e) {
			this.#die("unsupported", e?.message ?? e);
		}
	}

	#die(code, why) {
		if (this.#dead || this.#stopped) return;
		this.#dead = true;
		this.#reset();
		queueMicrotask(() => this.#onError(new MediaError(code, `${blind}${why}.`)));
	}

	// push takes a frame as it comes. Frames of a layer may be missing from some point on
	// if those of higher layers are, too; of anything else tell lost.
	push(frame) {
		if (this.#stopped || this.#dead) return;
		this.#totals.received++;
		this.#totals.layers[frame.layer]++;
		this.#totals.keyFrames += frame.key;
		this.#bits.add(frame.data.byteLength * 8);
		if (this.#muted || !this.#picture.wanted) {
			this.#needsKey = true;
			return;
		}
		if (!this.#takes(frame)) {
			this.#totals.dropped++;
			return;
		}
		try {
			this.#decoder ??= this.#open();
			this.#decoder.decode(new EncodedVideoChunk({ type: frame.key ? "key" : "delta", timestamp: frame.timestamp, data: frame.data }));
		} catch (e) {
			this.#failed(e);
		}
	}

	#takes({ key, layer }) {
		const queue = this.#decoder?.decodeQueueSize ?? 0;
		if (queue > slow[0]) {
			this.#reset();
			this.#needsKey = true;
		} else if (queue > slow[layer] && layer > 0) {
			this.lost(layer);
		}
		if (key) {
			this.#needsKey = false;
			this.#broken = whole;
		}
		if (this.#needsKey) this.#ask();
		else if (layer < this.#broken) this.#broken = whole; // a new group begins
		return !this.#needsKey && layer < this.#broken;
	}

	// lost says that a frame of that layer is missing: what may build on it is left out.
	lost(layer = 0) {
		if (layer > 0) {
			this.#broken = Math.min(this.#broken, layer);
			return;
		}
		this.#needsKey = true;
		this.#ask();
	}

	#ask() {
		const now = performance.now();
		if (now - this.#asked < askAgain) return;
		this.#asked = now;
		this.#totals.keyFramesRequested++;
		this.#askKeyFrame();
	}

	#open() {
		const decoder = new VideoDecoder({
			output: (frame) => this.#decoded(frame),
			error: (e) => {
				if (decoder === this.#decoder) this.#failed(e);
			},
		});
		decoder.configure(this.#config);
		return decoder;
	}

	#failed(e) {
		this.#reset();
		if (this.#stopped) return;
		this.#totals.errors++;
		this.#needsKey = true;
		if (++this.#failures >= maxFailures) this.#die("decoder", `decoding failed: ${e?.message ?? e}`);
		else this.#ask();
	}

	#decoded(frame) {
		if (this.#stopped || this.#muted) {
			frame.close();
			return;
		}
		const now = performance.now();
		this.#failures = 0;
		this.#totals.decoded++;
		this.#size = { width: frame.displayWidth, height: frame.displayHeight };
		if (this.#delay.arrived(frame.timestamp / 1000, now)) this.#empty();
		this.#extra = this.#sync?.extra(this, this.#delay, now) ?? 0;
		this.#waiting.push(frame);
		while (this.#waiting.length > waitingMost) {
			this.#waiting.shift().close();
			this.#totals.dropped++;
		}
		this.#schedule(now);
	}

	#schedule(now) {
		if (this.#timer || !this.#waiting.length) return;
		const wait = this.#delay.due(this.#waiting[0].timestamp / 1000, this.#extra) - now;
		if (wait <= 1) this.#show(now);
		else this.#timer = setTimeout(() => { this.#timer = 0; this.#show(performance.now()); }, wait);
	}

	// show shows the last of the frames that are due.
	#show(now) {
		let frame = null;
		while (this.#waiting.length && this.#delay.due(this.#waiting[0].timestamp / 1000, this.#extra) - now <= 1) {
			if (frame) {
				frame.close();
				this.#totals.dropped++;
			}
			frame = this.#waiting.shift();
		}
		if (frame) {
			this.#picture.show(frame);
			this.#totals.rendered++;
			this.#shown.add(1, now);
		}
		this.#schedule(now);
	}

	#empty() {
		clearTimeout(this.#timer);
		this.#timer = 0;
		for (const frame of this.#waiting) frame.close();
		this.#waiting = [];
	}

	// reset gives up what is being decoded and what waits.
	#reset() {
		if (this.#decoder && this.#decoder.state !== "closed") this.#decoder.close();
		this.#decoder = null;
		this.#empty();
	}

	// attach shows it in a <video> or <canvas>; several may show it at once.
	attach(element) {
		if (this.#stopped) return;
		this.#picture.attach(element);
		if (this.#needsKey && this.#totals.received > 0 && !this.#muted) this.#ask();
	}

	// detach takes it from the element, or from all of them.
	detach(element) {
		this.#picture.detach(element);
		if (!this.#picture.wanted) this.#reset();
	}

	// mediaStreamTrack is the picture as a track. Looking at it means decoding from then on.
	get mediaStreamTrack() {
		return this.#stopped ? undefined : this.#picture.track;
	}

	// setMuted(true) leaves attached elements blank.
	setMuted(muted) {
		if (muted && !this.#muted) {
			this.#needsKey = true;
			this.#reset();
		}
		this.#muted = muted;
		this.#picture.blank(muted);
	}

	stop() {
		if (this.#stopped) return;
		this.#stopped = true;
		this.#reset();
		this.#picture.stop();
		this.#sync?.leave(this);
	}

	stats() {
		const now = performance.now();
		return {
			...this.#totals,
			layers: [...this.#totals.layers],
			...this.#size,
			codec: this.#config?.codec,
			fps: this.#shown.perSecond(now),
			bitrate: this.#bits.perSecond(now),
			delay: this.#delay.target + this.#extra,
			decodeQueue: this.#decoder?.decodeQueueSize ?? 0,
			waiting: this.#waiting.length,
		};
	}
}
