// A microphone, or the sound of a screen, into Opus frames of 20 ms.

import { encodeBase64 } from "./base64.js";
import { opus, supported } from "./capabilities.js";
import { CaptureClock, Rate } from "./clock.js";
import { MediaError, called } from "./errors.js";
import { readAudio } from "./frames.js";
import { Loudness } from "./loudness.js";

const firstFrame = 2000; // ms to wait for the first sound
const frameDuration = 20_000; // µs
const maxFailures = 3;
const queueLong = 24 * 1024; // bytes in the socket's queue that are in the way of the voice
const queueShort = 8 * 1024;
const lasting = 1000; // ms for which they have to be

// createAudioSender is createVideoSender for sound: the frames are all key frames of
// layer 0, and onLevel is told how loud it is (0 to 1) ten times a second. Everything shares one queue on its way out, and sound is what is given
// up last: only when the queue stays long although the video has stopped for it.
export async function createAudioSender(options) {
	if (typeof globalThis.AudioEncoder !== "function") {
		throw new MediaError("unsupported", "This browser cannot send sound here: it lacks WebCodecs (AudioEncoder).", { source: options.source });
	}
	if (!(await supported("AudioEncoder", { ...opus, bitrate: 32000 }))) {
		throw new MediaError("unsupported", "This browser cannot encode Opus.", { source: options.source });
	}
	if (options.track.readyState === "ended") throw new MediaError("ended", "The track has ended.", { source: options.source });
	const sender = new AudioSender(options);
	try {
		return await sender.start();
	} catch (e) {
		sender.stop();
		throw e;
	}
}

class AudioSender {
	#track;
	#source;
	#bitrate;
	#send;
	#bufferedAmount;
	#onError;
	#loudness; // null when nobody wants to know

	#encoder = null;
	#format = ""; // of the samples that the encoder is made for
	#clock = new CaptureClock();
	#endReading = () => {};
	#known;
	#sending = false;
	#paused = false;
	#stopped = false;
	#failures = 0;
	#longSince = NaN; // since when the queue has been long
	#skipping = false;
	#frames = new Rate();
	#bits = new Rate();
	#totals = { captured: 0, dropped: 0, encoded: 0, bytes: 0 };

	constructor({ track, source = "microphone", maxBitrate = 32000, send, bufferedAmount = () => 0, onError = () => {}, onLevel }) {
		this.#track = track;
		this.#source = source;
		this.#bitrate = maxBitrate;
		this.#send = send;
		this.#bufferedAmount = bufferedAmount;
		this.#onError = onError;
		this.#loudness = onLevel ? new Loudness(onLevel) : null;
	}

	async start() {
		let giveUp;
		const config = await new Promise((resolve, reject) => {
			this.#known = { resolve, reject };
			giveUp = setTimeout(resolve, firstFrame, opus);
			this.#read();
		}).finally(() => clearTimeout(giveUp));
		this.#sending = true;
		return {
			codec: { codec: "opus", config, clockRate: 1_000_000 },
			requestKeyFrame: () => {}, // each is one
			setPaused: (paused) => this.#setPaused(paused),
			replaceTrack: (track) => this.#replaceTrack(track),
			stop: () => this.stop(),
			stats: () => this.#stats(),
		};
	}

	#read() {
		this.#endReading = readAudio(this.#track, (data) => {
			try {
				this.#captured(data);
			} finally {
				data.close();
			}
		}, (e) => {
			const why = `The sound of the ${called(this.#source)} cannot be read: ${e?.message ?? e}`;
			if (!this.#stopped) this.#end(new MediaError("capture", why, { cause: e, source: this.#source }));
		});
	}

	#captured(data) {
		this.#clock.seen(data.timestamp);
		if (this.#stopped || this.#paused) return;
		this.#totals.captured++;
		this.#measure(data);
		if (this.#jammed(performance.now())) {
			this.#totals.dropped++;
			return;
		}
		try {
			const format = `${data.sampleRate}/${data.numberOfChannels}`;
			if (!this.#encoder || format !== this.#format) this.#open(data, format);
			this.#encoder.encode(data);
		} catch (e) {
			this.#failed(e);
		}
	}

	#measure(data) {
		if (!this.#loudness) return;
		const samples = new Float32Array(data.numberOfFrames);
		data.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
		this.#loudness.add(samples, data.sampleRate);
	}

	#open({ sampleRate, numberOfChannels }, format) {
		this.#close();
		this.#format = format;
		this.#encoder = new AudioEncoder({
			output: (chunk, metadata) => this.#encoded(chunk, metadata),
			error: (e) => this.#failed(e),
		});
		this.#encoder.configure({
			codec: "opus", sampleRate, numberOfChannels, bitrate: this.#bitrate, opus: { frameDuration, application: "voip" },
		});
	}

	#jammed(now) {
		const bytes = this.#bufferedAmount();
		if (bytes <= queueShort) this.#skipping = false;
		if (bytes <= queueLong) this.#longSince = NaN;
		else if (Number.isNaN(this.#longSince)) this.#longSince = now;
		else if (now - this.#longSince >= lasting) this.#skipping = true;
		return this.#skipping;
	}

	#encoded(chunk, metadata) {
		this.#failures = 0;
		if (this.#known && metadata?.decoderConfig) {
			const { codec, sampleRate, numberOfChannels, description } = metadata.decoderConfig;
			this.#known.resolve({ codec, sampleRate, numberOfChannels, ...(description && { description: encodeBase64(description) }) });
			this.#known = null;
		}
		if (!this.#sending || this.#paused || this.#stopped) return;
		const data = new Uint8Array(chunk.byteLength);
		chunk.copyTo(data);
		const now = performance.now();
		this.#totals.encoded++;
		this.#totals.bytes += data.length;
		this.#frames.add(1, now);
		this.#bits.add(data.length * 8, now);
		this.#send({ key: true, layer: 0, timestamp: this.#clock.wall(chunk.timestamp), data });
	}

	#failed(e) {
		this.#close();
		if (this.#stopped || (e?.name === "QuotaExceededError" && this.#paused)) return;
		if (++this.#failures <= maxFailures) return; // the next samples get a new encoder
		this.#end(new MediaError("encoder", `Encoding the sound failed: ${e?.message ?? e}`, { cause: e, source: this.#source }));
	}

	#end(error) {
		const known = this.#known;
		this.#known = null;
		this.stop();
		if (known) known.reject(error);
		else this.#onError(error);
	}

	#close() {
		if (this.#encoder && this.#encoder.state !== "closed") this.#encoder.close();
		this.#encoder = null;
	}

	#setPaused(paused) {
		// A new encoder, so that nothing said before the pause is heard after it.
		if (paused && !this.#paused) this.#close();
		if (paused) this.#loudness?.silence();
		this.#paused = paused;
	}

	#replaceTrack(track) {
		if (this.#stopped) return;
		this.#endReading();
		this.#close();
		this.#clock.restart();
		this.#track = track;
		this.#read();
	}

	stop() {
		this.#stopped = true;
		this.#endReading();
		this.#close();
		this.#known?.reject(new MediaError("cancelled", "Stopped before the first sound."));
	}

	#stats() {
		const now = performance.now();
		return {
			...this.#totals,
			codec: "opus",
			fps: this.#frames.perSecond(now),
			bitrate: this.#bits.perSecond(now),
			targetBitrate: this.#bitrate,
			paused: this.#paused,
		};
	}
}
