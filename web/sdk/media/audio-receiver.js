// Opus frames into sound, through a small jitter buffer.

import { decodeBase64 } from "./base64.js";
import { Delay, Rate } from "./clock.js";
import { MediaError } from "./errors.js";
import { Loudness } from "./loudness.js";
import { forget, play, releaseContext, useContext } from "./playback.js";

const delays = { min: 40, max: 200 }; // ms
const longQueue = 50; // frames waiting for the decoder: a second
const maxFailures = 5;
const silent = { underruns: 0, dropped: 0, inserted: 0, played: 0, buffered: 0, playing: false };
const frozen = "This sound cannot be played: ";

// createAudioReceiver plays frames. Nothing is heard (or decoded) until attach is called:
// with an <audio> or <video> element the sound comes from it and obeys its volume, without one
// it goes to the loudspeaker. onLevel is told how loud it is (0 to 1) ten times a second. sync, a LipSync, keeps it together with a picture.
export function createAudioReceiver({ codec, onError = () => {}, onLevel = () => {}, sync }) {
	return new AudioReceiver(codec, onError, onLevel, sync);
}

class AudioReceiver {
	#config;
	#onError;
	#loudness;
	#sync;
	#decoder = null;
	#failures = 0;
	#dead = false;
	#delay = new Delay(delays);

	#using = false; // the shared context
	#node = null; // the worklet's
	#stream = null; // for elements
	#elements = new Set();
	#aloud = false; // attached to the loudspeaker
	#muted = false;
	#stopped = false;
	#level = 0;
	#report = { ...silent };
	#frames = new Rate();
	#bits = new Rate();
	#totals = { received: 0, decoded: 0, dropped: 0, errors: 0 };

	constructor(codec, onError, onLevel, sync) {
		this.#onError = onError;
		this.#loudness = new Loudness(onLevel);
		this.#sync = sync;
		try {
			const { sampleRate = 48000, numberOfChannels = 1, description } = codec?.config ?? {};
			if (codec?.codec !== "opus") throw new Error(`its codec is ${codec?.codec ?? "not known"}, not opus`);
			if (typeof globalThis.AudioDecoder !== "function") throw new Error("this browser lacks WebCodecs (AudioDecoder)");
			if (typeof globalThis.AudioWorkletNode !== "function") throw new Error("this browser lacks AudioWorklet");
			this.#config = {
				codec: "opus", sampleRate, numberOfChannels, ...(description && { description: decodeBase64(description) }),
			};
		} catch (e) {
			this.#dead = true;
			queueMicrotask(() => onError(new MediaError("unsupported", `${frozen}${e?.message ?? e}.`, { cause: e })));
		}
	}

	// push takes a frame as it comes.
	push(frame) {
		if (this.#stopped || this.#dead) return;
		const now = performance.now();
		this.#totals.received++;
		this.#frames.add(1, now);
		this.#bits.add(frame.data.byteLength * 8, now);
		if (this.#muted || !this.#node) return;
		if (this.#delay.arrived(frame.timestamp / 1000, now)) this.#node.port.postMessage({ clear: true });
		const extra = this.#sync?.extra(this, this.#delay, now) ?? 0;
		this.#node.port.postMessage({ target: (this.#delay.target + extra) / 1000 });
		try {
			this.#decoder ??= this.#open();
			if (this.#decoder.decodeQueueSize > longQueue) {
				this.#totals.dropped++;
				return;
			}
			this.#decoder.decode(new EncodedAudioChunk({ type: "key", timestamp: frame.timestamp, data: frame.data }));
		} catch (e) {
			this.#failed(e);
		}
	}

	#open() {
		const decoder = new AudioDecoder({ output: (data) => this.#decoded(data), error: (e) => this.#failed(e) });
		decoder.configure(this.#config);
		return decoder;
	}

	#decoded(data) {
		this.#failures = 0;
		this.#totals.decoded++;
		const channels = [];
		for (let c = 0; c < data.numberOfChannels && c < 2; c++) {
			const samples = new Float32Array(data.numberOfFrames);
			data.copyTo(samples, { planeIndex: c, format: "f32-planar" });
			channels.push(samples);
		}
		const { timestamp, sampleRate } = data;
		data.close();
		if (!this.#muted && this.#node) this.#loudness.add(channels[0], sampleRate);
		if (!this.#muted) this.#node?.port.postMessage({ channels, timestamp }, channels.map((c) => c.buffer));
	}

	#failed(e) {
		this.#close();
		if (this.#stopped) return;
		this.#totals.errors++;
		if (++this.#failures !== maxFailures) return;
		this.#dead = true;
		this.#onError(new MediaError("decoder", `${frozen}${e?.message ?? e}`, { cause: e }));
	}

	#close() {
		if (this.#decoder && this.#decoder.state !== "closed") this.#decoder.close();
		this.#decoder = null;
	}

	// attach lets it be heard: from the element, or from the loudspeaker.
	attach(element) {
		if (this.#stopped || this.#dead) return;
		if (element) this.#elements.add(element);
		else this.#aloud = true;
		this.#wire();
	}

	// detach takes it from the element, or from everything.
	detach(element) {
		for (const one of element ? [element] : [...this.#elements]) this.#unwire(one);
		if (!element) this.#aloud = false;
		this.#wire();
	}

	#wire() {
		const wanted = this.#aloud || this.#elements.size > 0;
		if (wanted && !this.#using) {
			this.#using = true;
			useContext().then(
				(context) => this.#play(context),
				(e) => {
					if (this.#using) this.#silence(); // attached again, it tries again
					this.#onError(new MediaError("unsupported", `${frozen}${e?.message ?? e}`, { cause: e }));
				},
			);
		} else if (!wanted && this.#using) {
			this.#silence();
		} else if (this.#node) {
			this.#connect();
		}
	}

	#play(context) {
		if (!this.#using || this.#node) return; // detached meanwhile
		this.#report = { ...silent };
		const channels = this.#config.numberOfChannels > 1 ? 2 : 1;
		this.#node = new AudioWorkletNode(context, "usher-player", {
			numberOfInputs: 0, outputChannelCount: [channels], processorOptions: { channels, target: delays.min / 1000 },
		});
		this.#node.port.onmessage = ({ data }) => {
			this.#report = data;
			this.#level = data.level;
		};
		this.#connect();
	}

	#connect() {
		const { context } = this.#node;
		this.#node.disconnect();
		if (this.#aloud) this.#node.connect(context.destination);
		if (!this.#elements.size) return;
		this.#stream ??= context.createMediaStreamDestination();
		this.#node.connect(this.#stream);
		const [track] = this.#stream.stream.getTracks();
		for (const element of this.#elements) {
			const stream = element.srcObject instanceof MediaStream ? element.srcObject : new MediaStream();
			if (stream.getTracks().includes(track)) continue;
			stream.addTrack(track);
			if (element.srcObject !== stream) element.srcObject = stream;
			element.muted = false;
			play(element);
		}
	}

	#unwire(element) {
		this.#elements.delete(element);
		forget(element);
		const [track] = this.#stream?.stream.getTracks() ?? [];
		if (!track || !(element.srcObject instanceof MediaStream)) return;
		element.srcObject.removeTrack(track);
		if (!element.srcObject.getTracks().length) element.srcObject = null;
	}

	// silence gives everything back.
	#silence() {
		this.#using = false;
		this.#close();
		if (this.#node) {
			this.#node.port.postMessage({ stop: true });
			this.#node.port.close();
			this.#node.disconnect();
			this.#node = null;
		}
		for (const track of this.#stream?.stream.getTracks() ?? []) track.stop();
		this.#stream = null;
		this.#level = 0;
		this.#loudness.silence();
		this.#sync?.leave(this);
		releaseContext();
	}

	// mediaStreamTrack is the sound as a track, while it is attached to an element.
	get mediaStreamTrack() {
		return this.#stream?.stream.getAudioTracks()[0];
	}

	setMuted(muted) {
		if (muted && !this.#muted) this.#node?.port.postMessage({ clear: true });
		this.#muted = muted;
		if (muted) this.#loudness.silence();
	}

	stop() {
		if (this.#stopped) return;
		this.detach();
		this.#stopped = true;
		this.#close();
	}

	stats() {
		const now = performance.now();
		const { underruns, inserted, played, buffered, dropped, playing } = this.#report;
		return {
			...this.#totals,
			codec: "opus",
			fps: this.#frames.perSecond(now),
			bitrate: this.#bits.perSecond(now),
			level: this.#level,
			delay: this.#delay.target,
			bufferedMs: buffered * 1000,
			underruns,
			playedSamples: played,
			droppedSamples: dropped,
			insertedSamples: inserted,
			playing,
		};
	}
}
