// A video track into frames: captured, encoded with temporal layers, at a rate that
// the way out can bear.

import { codecStrings, supported, videoCodecs, videoEncoderConfig } from "./capabilities.js";
import { encodeBase64 } from "./base64.js";
import { CaptureClock, Rate } from "./clock.js";
import { Congestion } from "./congestion.js";
import { MediaError, called } from "./errors.js";
import { readVideo } from "./frames.js";

const keyInterval = 4000; // ms; who cannot ask for a key frame waits for this long at most
const keyGap = 300; // ms between key frames that were asked for
const firstFrame = 5000; // ms to wait for the track's first frame
const still = 1000; // ms after which the last picture of a source that does not move counts as new
const maxFailures = 3; // of the encoder without a frame in between

// defaultBitrate is enough for a clear picture: bit/s.
export function defaultBitrate(source, width = 640, height = 360, framerate = 25) {
	if (source === "screen_share") return 1_500_000;
	return Math.round(Math.min(2_500_000, Math.max(100_000, width * height * framerate * 0.09)));
}

// createVideoSender encodes the track and calls send with each frame. It resolves with
// {codec, requestKeyFrame, setPaused, replaceTrack, stop, stats} once the decoder's
// configuration is known; frames are sent from then on. Asked for more than the track
// has, it sends what there is. onError is told when encoding ended for good.
//
// The track stays the caller's: stop() and setPaused() do not stop it.
export async function createVideoSender(options) {
	if (typeof globalThis.VideoEncoder !== "function") {
		throw new MediaError("unsupported", "This browser cannot send video here: it lacks WebCodecs (VideoEncoder).", { source: options.source });
	}
	if (!videoCodecs.includes(options.codec ?? "vp8")) {
		throw new MediaError("unsupported", `There is no video codec ${options.codec}, only ${videoCodecs.join(", ")}.`, { source: options.source });
	}
	if (options.track.readyState === "ended") throw new MediaError("ended", "The track has ended.", { source: options.source });
	const sender = new VideoSender(options);
	try {
		return await sender.start();
	} catch (e) {
		sender.stop();
		throw e;
	}
}

class VideoSender {
	#track;
	#source;
	#codec;
	#mode;
	#send;
	#bufferedAmount;
	#onError;

	#config; // of the encoder
	#encoder = null; // made when there is something to encode
	#most; // {bitrate, framerate} that were asked for
	#congestion;
	#clock = new CaptureClock();
	#endReading = () => {};
	#timer;
	#known; // settles the codec
	#sending = false;
	#untilKey = true; // what comes out of the encoder leads nowhere
	#paused = false;
	#stopped = false;
	#preparing = false; // another configuration is being looked for

	#wantsKey = true;
	#mustKey = true; // without waiting for keyGap
	#forced = 0; // when
	#lastKey = -Infinity;
	#lastTimestamp = 0;
	#failures = 0;
	#held = null; // last picture of a source that may stand still
	#heldAt = 0;

	#encoding = new Map(); // timestamp → when it went into the encoder
	#frames = new Rate();
	#bits = new Rate();
	#totals = { captured: 0, dropped: 0, encoded: 0, keyFrames: 0, bytes: 0, encodeMs: 0, layers: [0, 0, 0, 0] };

	constructor({ track, source = "camera", codec = "vp8", maxBitrate, maxFramerate, scalabilityMode = "L1T3", send, bufferedAmount = () => 0, onError = () => {} }) {
		this.#track = track;
		this.#source = source;
		this.#codec = codec;
		this.#mode = scalabilityMode;
		this.#send = send;
		this.#bufferedAmount = bufferedAmount;
		this.#onError = onError;
		this.#most = { bitrate: maxBitrate, framerate: maxFramerate ?? 30 };
		this.#config = this.#fit();
	}

	// fit begins with what is good for the track, and returns that.
	#fit() {
		const { width, height, frameRate } = this.#track.getSettings();
		const framerate = Math.min(this.#most.framerate, frameRate || 30);
		this.#congestion = new Congestion({
			maxBitrate: this.#most.bitrate ?? defaultBitrate(this.#source, width, height, framerate),
			maxFramerate: this.#most.framerate,
		});
		return { width: even(width || 640), height: even(height || 360), framerate };
	}

	async start() {
		await this.#prepare();
		if (!this.#config.codec) throw new MediaError("unsupported", `This browser cannot encode ${this.#codec}.`, { source: this.#source });
		let giveUp;
		const config = await new Promise((resolve, reject) => {
			this.#known = { resolve, reject };
			// A track without a picture: its key frames will say the rest.
			giveUp = setTimeout(resolve, firstFrame, {
				codec: this.#config.codec, codedWidth: this.#config.width, codedHeight: this.#config.height,
			});
			this.#read();
		}).finally(() => clearTimeout(giveUp));
		this.#sending = true;
		this.#force();
		return {
			codec: { codec: this.#codec, config, clockRate: 1_000_000 },
			requestKeyFrame: () => { this.#wantsKey = true; this.#repeatSoon(); },
			setPaused: (paused) => this.#setPaused(paused),
			replaceTrack: (track) => this.#replaceTrack(track),
			stop: () => this.stop(),
			stats: () => this.#stats(),
		};
	}

	// prepare finds a configuration that works, with fewer layers after a failure.
	async #prepare() {
		this.#preparing = true;
		const { width, height, framerate } = this.#config;
		const found = await videoEncoderConfig(this.#codec, {
			width, height, framerate, bitrate: this.#congestion.bitrate, scalabilityMode: this.#mode,
		});
		this.#config = found ?? this.#config;
		if (found && this.#source === "screen_share") {
			const detailed = { ...found, contentHint: "detail" };
			if (await supported("VideoEncoder", detailed)) this.#config = detailed;
		}
		this.#preparing = false;
	}

	#read() {
		this.#endReading = readVideo(this.#track, (frame) => {
			try {
				this.#captured(frame);
			} finally {
				frame.close();
			}
		}, (e) => this.#unreadable(e));
		if (this.#source !== "camera") this.#timer = setInterval(() => this.#repeat(), still);
	}

	// captured does not keep the frame.
	#captured(frame) {
		const now = performance.now();
		this.#clock.seen(frame.timestamp);
		if (this.#stopped) return;
		const timestamp = Math.max(this.#clock.wall(frame.timestamp), this.#lastTimestamp + 1);
		const ours = new VideoFrame(frame, { timestamp }); // shares the picture
		try {
			if (this.#source !== "camera") this.#hold(ours, now);
			if (this.#paused || this.#preparing) return;
			this.#totals.captured++;
			const queue = this.#encoder?.encodeQueueSize ?? 0;
			this.#congestion.look(now, this.#bufferedAmount(), queue);
			if (this.#congestion.wants(timestamp / 1000, queue)) this.#encode(ours, now);
			else this.#totals.dropped++;
		} finally {
			ours.close();
		}
	}

	#encode(frame, now) {
		const width = even(frame.displayWidth);
		const height = even(frame.displayHeight);
		const bitrate = this.#congestion.bitrate;
		const was = this.#config;
		const resized = width !== was.width || height !== was.height;
		try {
			if (!this.#encoder || resized) {
				this.#config = { ...was, width, height, bitrate, codec: this.#codecFor(width, height) };
				this.#encoder ??= new VideoEncoder({
					output: (chunk, metadata) => this.#encoded(chunk, metadata),
					error: (e) => this.#failed(e),
				});
				this.#encoder.configure(this.#config);
				this.#wantsKey = this.#mustKey = true;
			} else if (Math.abs(bitrate - was.bitrate) > was.bitrate * 0.05) {
				this.#config = { ...was, bitrate };
				this.#encoder.configure(this.#config);
			}
			const since = now - this.#lastKey;
			const keyFrame = this.#mustKey || (this.#wantsKey && since >= keyGap) || since >= keyInterval;
			if (keyFrame) {
				this.#lastKey = now;
				this.#wantsKey = this.#mustKey = false;
			}
			this.#lastTimestamp = frame.timestamp;
			this.#encoding.set(frame.timestamp, now);
			this.#encoder.encode(frame, { keyFrame });
		} catch (e) {
			this.#failed(e);
		}
	}

	// codecFor keeps the codec's name while it is good for the size.
	#codecFor(width, height) {
		const names = codecStrings(this.#codec, width, height);
		return names.includes(this.#config.codec) ? this.#config.codec : names[0];
	}

	#encoded(chunk, metadata) {
		const began = this.#encoding.get(chunk.timestamp);
		for (const timestamp of this.#encoding.keys()) {
			if (timestamp > chunk.timestamp) break;
			this.#encoding.delete(timestamp); // those before were left out by the encoder
		}
		this.#failures = 0;
		if (this.#known && metadata?.decoderConfig) {
			this.#known.resolve(portable(metadata.decoderConfig));
			this.#known = null;
		}
		if (!this.#sending || this.#paused || this.#stopped) return;
		const key = chunk.type === "key";
		if (this.#untilKey && !(key && (began ?? Infinity) >= this.#forced)) return;
		this.#untilKey = false;
		const layer = key ? 0 : Math.min(3, metadata?.svc?.temporalLayerId ?? 0);
		const data = new Uint8Array(chunk.byteLength);
		chunk.copyTo(data);
		const now = performance.now();
		const totals = this.#totals;
		totals.encoded++;
		totals.keyFrames += key;
		totals.layers[layer]++;
		totals.bytes += data.length;
		if (began !== undefined) totals.encodeMs += now - began;
		this.#congestion.sent(now, data.length);
		this.#frames.add(1, now);
		this.#bits.add(data.length * 8, now);
		if (key) this.#lastKey = now; // the encoder makes some by itself
		this.#send({ key, layer, timestamp: chunk.timestamp, data });
	}

	// failed makes a new encoder, with another configuration from the second time on.
	// Browsers also take encoders away from pages that were paused for long.
	#failed(e) {
		this.#dropEncoder();
		if (this.#stopped) return;
		this.#force();
		if (e?.name === "QuotaExceededError" && this.#paused) return;
		if (++this.#failures > maxFailures) {
			this.#end(new MediaError("encoder", `Encoding ${this.#codec} failed: ${e?.message ?? e}`, { cause: e, source: this.#source }));
			return;
		}
		if (this.#failures > 1) this.#mode = "L1T1";
		this.#prepare();
	}

	// unreadable: the track gives no frames any more, though it has not ended.
	#unreadable(e) {
		if (this.#stopped) return;
		this.#end(new MediaError("capture", `The pictures of the ${called(this.#source)} cannot be read: ${e?.message ?? e}`, { cause: e, source: this.#source }));
	}

	#end(error) {
		const known = this.#known;
		this.#known = null;
		this.stop();
		if (known) known.reject(error);
		else this.#onError(error);
	}

	#dropEncoder() {
		if (this.#encoder && this.#encoder.state !== "closed") this.#encoder.close();
		this.#encoder = null;
		this.#encoding.clear();
	}

	// force makes the next frame a key frame, and those before it worth nothing.
	#force() {
		this.#wantsKey = this.#mustKey = this.#untilKey = true;
		this.#forced = performance.now();
	}

	// Screens and canvases give no frames while nothing changes on them, but
	// whoever comes meanwhile needs one.
	#hold(frame, now) {
		this.#held?.close();
		this.#held = frame.clone();
		this.#heldAt = now;
	}

	#repeatSoon() {
		if (this.#source !== "camera") setTimeout(() => this.#repeat(keyGap), keyGap);
	}

	#repeat(age = still) {
		const now = performance.now();
		if (!this.#held || this.#paused || this.#stopped || this.#preparing || now - this.#heldAt < age) return;
		const queue = this.#encoder?.encodeQueueSize ?? 0;
		this.#congestion.look(now, this.#bufferedAmount(), queue);
		if (this.#congestion.halted || queue || !(this.#wantsKey || now - this.#lastKey >= keyInterval)) return;
		const since = Math.round((now - this.#heldAt) * 1000);
		const frame = new VideoFrame(this.#held, { timestamp: Math.max(this.#lastTimestamp + 1, this.#held.timestamp + since) });
		try {
			this.#encode(frame, now);
		} finally {
			frame.close();
		}
	}

	#setPaused(paused) {
		if (this.#paused && !paused) {
			this.#force();
			this.#repeatSoon();
		}
		this.#paused = paused;
		if (paused) this.#encoding.clear();
	}

	// replaceTrack goes on with another track, after a device was changed or switched
	// off and on.
	#replaceTrack(track) {
		if (this.#stopped) return;
		this.#endReading();
		clearInterval(this.#timer);
		this.#held?.close();
		this.#held = null;
		this.#clock.restart();
		this.#track = track;
		this.#config = { ...this.#config, framerate: this.#fit().framerate }; // its size is seen with the first frame
		this.#force();
		this.#read();
	}

	stop() {
		this.#stopped = true;
		this.#endReading();
		clearInterval(this.#timer);
		this.#dropEncoder();
		this.#held?.close();
		this.#held = null;
		this.#known?.reject(new MediaError("cancelled", "Stopped before the first frame."));
	}

	#stats() {
		const now = performance.now();
		const { encodeMs, ...totals } = this.#totals;
		return {
			...totals,
			layers: [...totals.layers],
			codec: this.#config.codec,
			scalabilityMode: this.#config.scalabilityMode ?? "L1T1",
			width: this.#config.width,
			height: this.#config.height,
			fps: this.#frames.perSecond(now),
			bitrate: this.#bits.perSecond(now),
			targetBitrate: this.#congestion.bitrate,
			targetFramerate: this.#congestion.framerate,
			backlogMs: this.#congestion.backlog,
			halted: this.#congestion.halted,
			encodeMs: totals.encoded ? encodeMs / totals.encoded : 0,
			encodeQueue: this.#encoder?.encodeQueueSize ?? 0,
			paused: this.#paused,
		};
	}
}

// Encoders want even sizes, and scale what comes.
const even = (n) => Math.max(2, n & ~1);

// portable is a decoder's configuration as JSON.
function portable({ codec, codedWidth, codedHeight, description }) {
	return { codec, codedWidth, codedHeight, ...(description && { description: encodeBase64(description) }) };
}
