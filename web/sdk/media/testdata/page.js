// What the tests do in the page. Each function of tests resolves with what was seen, for
// the Go test to judge, and cleans up after itself.

const patience = 30_000;

// "?without=VideoEncoder,…" takes things from the browser before the modules come.
for (const name of new URLSearchParams(location.search).get("without")?.split(",") ?? []) delete globalThis[name];

// Every frame and every piece of sound that the page gets hold of, so that those which
// nobody closed can be counted. (Chromium complains of them, too, but only when it comes
// to collect them, and then up to ten seconds late.)
const held = new Set();
const hold = (frame) => (held.add(frame), frame);
globalThis.leaks = () => [...held].filter((f) => (f.codedWidth ?? f.numberOfFrames) > 0).length;
for (const name of ["VideoFrame", "AudioData"]) {
	const real = globalThis[name];
	if (!real) continue;
	const { clone } = real.prototype;
	real.prototype.clone = function () { return hold(clone.call(this)); };
	globalThis[name] = new Proxy(real, { construct: (target, args) => hold(Reflect.construct(target, args)) });
}
for (const name of ["VideoDecoder", "AudioDecoder"]) {
	const real = globalThis[name];
	if (!real) continue;
	globalThis[name] = new Proxy(real, {
		construct: (target, [init]) => Reflect.construct(target, [{ ...init, output: (frame) => init.output(hold(frame)) }]),
	});
}
const { read } = ReadableStreamDefaultReader.prototype;
ReadableStreamDefaultReader.prototype.read = function () {
	return read.call(this).then((result) => (result.value?.close && hold(result.value), result));
};

const media = await import(`${new URLSearchParams(location.search).get("from") ?? ""}/sdk/media/index.js`);

// until resolves when the condition holds.
function until(what, condition, detail = () => "") {
	const end = performance.now() + patience;
	return new Promise((resolve, reject) => {
		(function look() {
			if (condition()) resolve();
			else if (performance.now() > end) reject(new Error(`waited for ${what}; ${JSON.stringify(detail())}`));
			else setTimeout(look, 10);
		})();
	});
}

const camera = async (more) => (await media.capture({ camera: { width: 160, height: 120, frameRate: 20, ...more } }))[0];

// paint makes a track from a canvas on which something moves, or stands still.
function paint(width, height, { moving = true, fps = 20 } = {}) {
	const canvas = Object.assign(document.createElement("canvas"), { width, height });
	const context = canvas.getContext("2d");
	let n = 0;
	const draw = () => {
		context.fillStyle = `hsl(${(n * 37) % 360} 80% 50%)`;
		context.fillRect(0, 0, canvas.width, canvas.height);
		context.fillStyle = "white";
		context.fillRect((n++ * 8) % canvas.width, 10, 20, 20);
	};
	draw();
	const timer = moving ? setInterval(draw, 1000 / fps) : 0;
	const [track] = canvas.captureStream(fps).getVideoTracks();
	return { canvas, track, draw, stop() { clearInterval(timer); track.stop(); } };
}

// looks counts the different pictures a canvas or video shows.
function looks(element) {
	const probe = Object.assign(document.createElement("canvas"), { width: 32, height: 24 }).getContext("2d", { willReadFrequently: true });
	const seen = new Set();
	const timer = setInterval(() => {
		probe.drawImage(element, 0, 0, 32, 24);
		const pixels = probe.getImageData(0, 0, 32, 24).data;
		if (pixels.some((v, i) => i % 4 < 3 && v > 30)) seen.add(pixels.reduce((h, v) => (h * 31 + v) | 0, 7));
	}, 50);
	return { get count() { return seen.size; }, stop: () => clearInterval(timer) };
}

// loop is a sender and a receiver with a way between them that may change, hold back
// or swallow frames.
async function loop({ track, way = (frame, on) => on(frame), attach, ...options }) {
	const sent = [];
	const errors = [];
	let receiver;
	const sender = await media.createVideoSender({
		track,
		send(frame) {
			sent.push({ key: frame.key, layer: frame.layer, timestamp: frame.timestamp, size: frame.data.length });
			way(frame, (f) => receiver?.push(f));
		},
		onError: (e) => errors.push(`sender: ${e.message}`),
		...options,
	});
	const asked = [];
	receiver = media.createVideoReceiver({
		codec: JSON.parse(JSON.stringify(sender.codec)),
		requestKeyFrame: () => { asked.push(sent.length); sender.requestKeyFrame(); },
		onError: (e) => errors.push(`receiver: ${e.message}`),
	});
	const canvas = attach ?? document.createElement("canvas");
	document.body.append(canvas);
	receiver.attach(canvas);
	return {
		sender, receiver, sent, asked, errors, canvas,
		stop() {
			sender.stop();
			receiver.stop();
			canvas.remove();
		},
	};
}

const tests = {
	capabilities: () => media.capabilities(),

	// The camera's picture moves at the other end, in a canvas and in a <video>.
	async picture(codec, scalabilityMode) {
		const track = await camera();
		const l = await loop({ track, codec, scalabilityMode });
		const video = document.body.appendChild(document.createElement("video"));
		l.receiver.attach(video);
		const [inCanvas, inVideo] = [looks(l.canvas), looks(video)];
		await until("a moving picture", () => inCanvas.count > 5 && inVideo.count > 5, () => [l.sender.stats(), l.receiver.stats(), l.errors]);
		await until("20 frames", () => l.sent.length >= 20);
		const result = { codec: l.sender.codec, sender: l.sender.stats(), receiver: l.receiver.stats(), sent: l.sent, errors: l.errors,
			now: (performance.timeOrigin + performance.now()) * 1000, size: [l.canvas.width, l.canvas.height, video.videoWidth, video.videoHeight] };
		inCanvas.stop();
		inVideo.stop();
		l.receiver.detach(video);
		const empty = video.srcObject === null;
		l.stop();
		video.remove();
		const live = track.readyState;
		track.stop();
		return { ...result, empty, live };
	},

	// Frames held back unevenly are shown evenly: the delay grows.
	async jitter() {
		const p = paint(160, 120);
		let n = 0;
		let last = 0;
		const l = await loop({
			track: p.track,
			way(frame, on) { // in order, up to 120 ms late
				last = Math.max(last, performance.now() + (n++ % 4) * 40);
				setTimeout(on, last - performance.now(), frame);
			},
		});
		// Of some twenty pictures nearly all are shown. A busy machine, whose timers are late, gets more tries.
		let from = l.receiver.stats();
		await until("an even picture", () => {
			const now = l.receiver.stats();
			const decoded = now.decoded - from.decoded, rendered = now.rendered - from.rendered;
			if (decoded <= 20) return false;
			from = now;
			return now.delay > 40 && rendered >= (decoded * 3) / 4;
		}, () => l.receiver.stats());
		const result = { receiver: l.receiver.stats(), errors: l.errors };
		l.stop();
		p.stop();
		return result;
	},

	async keyFrame() {
		const p = paint(160, 120);
		const l = await loop({ track: p.track, source: "camera" });
		await until("deltas", () => l.sent.length > 6);
		const from = l.sent.length;
		for (let i = 0; i < 5; i++) l.sender.requestKeyFrame();
		await until("a key frame", () => l.sent.slice(from).some((f) => f.key));
		await until("more", () => l.sent.length > from + 12);
		const result = { before: l.sent.slice(0, from), after: l.sent.slice(from) };
		l.stop();
		p.stop();
		return result;
	},

	// A picture that stands still has key frames for those who come late, too.
	async still() {
		const p = paint(160, 120, { moving: false });
		const l = await loop({ track: p.track, source: "screen_share" });
		await until("the picture", () => l.receiver.stats().rendered > 0, () => [l.sender.stats(), l.receiver.stats()]);
		const from = l.sent.length;
		l.sender.requestKeyFrame();
		await until("another key frame", () => l.sent.slice(from).some((f) => f.key), () => l.sender.stats());
		const result = { sent: l.sent, errors: l.errors };
		l.stop();
		p.stop();
		return result;
	},

	// Lost frames, rubbish, and then a picture again.
	async recovery() {
		const p = paint(160, 120);
		let swallow = 0;
		let spoil = 0;
		let n = 0;
		let heal = () => {};
		const l = await loop({
			track: p.track,
			source: "camera",
			way(frame, on) {
				if (swallow > 0 && frame.layer === 0 && !frame.key) {
					swallow--;
					heal();
				} else if (spoil > 0 && !frame.key) {
					spoil--;
					on({ ...frame, data: new Uint8Array([0xff, 0xff, 0xff, 0xff]) });
				} else {
					if (n++ === 0) return; // it does not even begin with a key frame
					on(frame);
				}
			},
		});
		heal = () => l.receiver.lost();
		await until("a late start", () => l.receiver.stats().rendered > 3, () => [l.receiver.stats(), l.sent.length]);
		const start = l.asked.length;
		swallow = 2;
		await until("loss", () => swallow === 0);
		let shown = l.receiver.stats().rendered;
		await until("a picture after the loss", () => l.receiver.stats().rendered > shown + 3, () => l.receiver.stats());
		const lost = l.asked.length;
		spoil = 1;
		await until("rubbish", () => spoil === 0);
		shown = l.receiver.stats().rendered;
		await until("a picture after rubbish", () => l.receiver.stats().rendered > shown + 3, () => l.receiver.stats());
		const result = { start, lost, asked: l.asked.length, receiver: l.receiver.stats(), errors: l.errors };
		l.stop();
		p.stop();
		return result;
	},

	// Without the higher layers there is a picture all the same, less often.
	async layers(codec) {
		const p = paint(160, 120, { fps: 30 });
		let highest = 3;
		const l = await loop({ track: p.track, codec, source: "camera", way: (frame, on) => frame.layer <= highest && on(frame) });
		const rendered = {};
		for (highest of [3, 1, 0]) {
			const before = l.receiver.stats();
			const from = l.sent.length;
			await until("frames", () => l.sent.length >= from + 24);
			rendered[highest] = l.receiver.stats().decoded - before.decoded;
		}
		const result = { rendered, sender: l.sender.stats(), receiver: l.receiver.stats(), errors: l.errors };
		l.stop();
		p.stop();
		return result;
	},

	// A narrow way out: the target falls, frames are left out; then it is wide again.
	async congestion() {
		const p = paint(320, 240, { fps: 20 });
		let capacity = 40_000; // bit/s
		let queue = 0;
		let last = performance.now();
		const drain = () => {
			const now = performance.now();
			queue = Math.max(0, queue - (capacity * (now - last)) / 8000);
			last = now;
			return queue;
		};
		let longest = 0;
		const l = await loop({
			track: p.track, source: "camera", maxBitrate: 400_000, bufferedAmount: drain,
			way(frame, on) { drain(); queue += frame.data.length; longest = Math.max(longest, queue); on(frame); },
		});
		await until("a lower target", () => l.sender.stats().targetBitrate < 200_000, () => l.sender.stats());
		capacity = 2000; // nearly shut: frames are left out before they are encoded
		await until("frames left out", () => l.sender.stats().halted && l.sender.stats().dropped > 5, () => l.sender.stats());
		const low = l.sender.stats();
		capacity = Infinity;
		await until("recovery", () => l.sender.stats().targetBitrate > low.targetBitrate * 1.15, () => l.sender.stats());
		const high = l.sender.stats();
		const result = { low, high, receiver: l.receiver.stats(), longest: Math.round(longest), keys: l.sent.filter((f) => f.key).length, errors: l.errors };
		l.stop();
		p.stop();
		return result;
	},

	async pause() {
		const p = paint(160, 120);
		const l = await loop({ track: p.track, source: "camera" });
		await until("frames", () => l.receiver.stats().rendered > 3);
		l.sender.setPaused(true);
		const at = l.sent.length;
		const captured = looks(p.canvas);
		await until("the source to go on", () => captured.count > 10);
		captured.stop();
		const during = l.sent.length - at;
		l.sender.setPaused(false);
		await until("frames again", () => l.sent.length > at + 3);
		// The receiver's side of muting: blank, and back with a key frame.
		l.receiver.setMuted(true);
		const blank = l.canvas.getContext("2d").getImageData(0, 0, 10, 10).data.every((v, i) => i % 4 === 3 || v === 0);
		l.receiver.setMuted(false);
		const shown = l.receiver.stats().rendered;
		await until("the picture again", () => l.receiver.stats().rendered > shown + 3, () => l.receiver.stats());
		const result = { during, first: l.sent[at], blank, errors: l.errors };
		l.stop();
		p.stop();
		return result;
	},

	async resize(codec) {
		const p = paint(160, 120);
		const l = await loop({ track: p.track, codec, source: "camera" });
		await until("the first size", () => l.canvas.width === 160 && l.sent.length > 5, () => [l.sender.stats(), l.receiver.stats(), l.errors]);
		const from = l.sent.length;
		Object.assign(p.canvas, { width: 320, height: 180 });
		p.draw();
		await until("the other size", () => l.canvas.width === 320 && l.canvas.height === 180, () => [l.sender.stats(), l.receiver.stats()]);
		// Somebody comes late, with the codec as it was announced.
		const late = media.createVideoReceiver({ codec: l.sender.codec, requestKeyFrame: () => l.sender.requestKeyFrame(), onError: (e) => l.errors.push(e.message) });
		const canvas = document.createElement("canvas");
		late.attach(canvas);
		const push = l.receiver.push.bind(l.receiver);
		l.receiver.push = (frame) => { push(frame); late.push(frame); };
		await until("the late one's picture", () => canvas.width === 320 && late.stats().rendered > 2, () => late.stats());
		const result = { key: l.sent.slice(from).some((f) => f.key), stats: l.sender.stats(), errors: l.errors };
		late.stop();
		l.stop();
		p.stop();
		return result;
	},

	// The camera is switched off and on, as when muting.
	async replace() {
		const first = await camera();
		const l = await loop({ track: first });
		await until("frames", () => l.receiver.stats().rendered > 2);
		l.sender.setPaused(true);
		first.stop();
		const second = await camera();
		l.sender.replaceTrack(second);
		const at = l.sent.length;
		l.sender.setPaused(false);
		const shown = l.receiver.stats().rendered;
		await until("frames of the other track", () => l.receiver.stats().rendered > shown + 3, () => [l.sender.stats(), l.receiver.stats()]);
		const result = { first: l.sent[at], grows: l.sent.every((f, i) => !i || f.timestamp > l.sent[i - 1].timestamp), errors: l.errors };
		l.stop();
		second.stop();
		return result;
	},

	// stop ends everything, also in the middle of something.
	async stop() {
		const track = await camera();
		const l = await loop({ track });
		await until("frames", () => l.receiver.stats().rendered > 2);
		l.stop();
		const at = l.sent.length;
		l.stop();
		l.receiver.push({ key: true, layer: 0, timestamp: 1, data: new Uint8Array(3) });
		l.sender.requestKeyFrame();
		l.sender.setPaused(false);
		// Stopped before the first frame.
		const early = paint(160, 120);
		early.track.stop();
		const seen = looks(Object.assign(document.body.appendChild(document.createElement("video")), { muted: true, autoplay: true, srcObject: new MediaStream([track]) }));
		await until("the camera to go on", () => seen.count > 5);
		seen.stop();
		track.stop();
		early.stop();
		return { after: l.sent.length - at };
	},

	// A tone goes in; how loud is what comes out, and is it that tone?
	async audio(element) {
		const context = new AudioContext({ sampleRate: 48000 });
		const tone = new OscillatorNode(context, { frequency: 1000 });
		const out = context.createMediaStreamDestination();
		tone.connect(new GainNode(context, { gain: 0.5 })).connect(out);
		tone.start();
		const [track] = out.stream.getAudioTracks();
		const sent = [];
		const levels = { sent: 0, received: 0 };
		let receiver;
		const sender = await media.createAudioSender({
			track, source: "microphone", onLevel: (level) => (levels.sent = level),
			send(frame) { sent.push({ key: frame.key, layer: frame.layer, timestamp: frame.timestamp, size: frame.data.length }); receiver?.push(frame); },
		});
		const errors = [];
		receiver = media.createAudioReceiver({
			codec: JSON.parse(JSON.stringify(sender.codec)), onError: (e) => errors.push(e.message), onLevel: (level) => (levels.received = level),
		});
		const audio = element ? document.body.appendChild(document.createElement("audio")) : undefined;
		receiver.attach(audio);
		await until("sound", () => receiver.stats().level > 0.1, () => [sender.stats(), receiver.stats(), errors, media.canPlayback()]);
		let heard = 0;
		if (element) {
			const analyser = new AnalyserNode(context, { fftSize: 4096 });
			context.createMediaStreamSource(new MediaStream([receiver.mediaStreamTrack])).connect(analyser);
			const bins = new Float32Array(analyser.frequencyBinCount);
			await until("the tone", () => {
				analyser.getFloatFrequencyData(bins);
				const strongest = bins.indexOf(Math.max(...bins));
				heard = (strongest * 48000) / 4096;
				return bins[strongest] > -40;
			});
		}
		await until("50 frames", () => sent.length > 50);
		const loudness = { ...levels };
		const loud = receiver.stats();
		sender.setPaused(true);
		const at = sent.length;
		await until("silence", () => receiver.stats().level < 0.001, () => receiver.stats());
		const during = sent.length - at;
		const paused = levels.sent;
		sender.setPaused(false);
		await until("sound again", () => receiver.stats().level > 0.1, () => [sender.stats(), receiver.stats()]);
		receiver.setMuted(true);
		await until("silence when muted", () => receiver.stats().level < 0.001);
		const muted = levels.received;
		receiver.setMuted(false);
		await until("sound after muting", () => receiver.stats().level > 0.1, () => [sender.stats(), receiver.stats()]);
		receiver.detach();
		receiver.attach(audio);
		await until("sound after detaching", () => receiver.stats().level > 0.1 && receiver.stats().playedSamples > 24000, () => [sender.stats(), receiver.stats(), media.canPlayback()]);
		const result = { codec: sender.codec, sender: sender.stats(), loud, sent: sent.slice(0, 50), heard, during, loudness, quiet: paused + muted, playing: audio ? !audio.paused && !audio.muted : true, errors };
		receiver.stop();
		sender.stop();
		audio?.remove();
		track.stop();
		await context.close();
		return { ...result, empty: !audio?.srcObject };
	},

	// Camera and microphone of the fake device, kept together.
	async both() {
		const tracks = await media.capture({ camera: { width: 160, height: 120, frameRate: 20 }, microphone: true });
		const sync = new media.LipSync();
		const stamps = {};
		const ends = [];
		for (const track of tracks) {
			const video = track.kind === "video";
			let receiver;
			const sender = await media[video ? "createVideoSender" : "createAudioSender"]({
				track,
				send(frame) { stamps[track.kind] = frame.timestamp; receiver?.push(frame); },
			});
			receiver = media[video ? "createVideoReceiver" : "createAudioReceiver"]({ codec: sender.codec, sync });
			receiver.attach(video ? document.createElement("canvas") : undefined);
			ends.push({ sender, receiver, track });
		}
		await until("both", () => ends.every(({ receiver }) => receiver.stats().decoded > 20), () => ends.map((e) => [e.sender.stats(), e.receiver.stats()]));
		const apart = () => Math.abs(stamps.audio - stamps.video) / 1000;
		await until("the same time on both", () => apart() < 1000, apart); // a busy machine encodes one of them late
		const result = { apart: apart(), level: ends.find((e) => e.track.kind === "audio").receiver.stats().level, kinds: tracks.map((t) => t.kind) };
		for (const { sender, receiver, track } of ends) {
			sender.stop();
			receiver.stop();
			track.stop();
		}
		return result;
	},

	async refusals() {
		const said = {};
		const words = async (name, promise) => {
			try {
				await promise;
				said[name] = "nothing";
			} catch (e) {
				said[name] = `${e.name} ${e.code}: ${e.message}`;
			}
		};
		const devices = navigator.mediaDevices;
		for (const name of ["NotAllowedError", "NotFoundError", "NotReadableError", "OverconstrainedError"]) {
			devices.getUserMedia = async () => { throw new DOMException("x", name); };
			await words(name, media.capture({ camera: true, microphone: true }));
		}
		devices.getDisplayMedia = async () => { throw new DOMException("x", "NotAllowedError"); };
		await words("screen", media.capture({ screen: true }));
		Object.defineProperty(navigator, "mediaDevices", { value: undefined });
		await words("missing", media.capture({ camera: true }));
		Object.defineProperty(globalThis, "isSecureContext", { value: false });
		await words("insecure", media.capture({ camera: true }));
		await words("codec", media.createVideoSender({ track: paint(16, 16).track, codec: "mp3", send() {} }));
		await words("unknown", new Promise((_, no) => media.createVideoReceiver({ codec: { codec: "x", config: { codec: "x" } }, onError: no })));
		await words("nothing", new Promise((_, no) => media.createVideoReceiver({ codec: null, onError: no })));
		await words("sound", new Promise((_, no) => media.createAudioReceiver({ codec: { codec: "mp3" }, onError: no })));
		return said;
	},

	// Without WebCodecs everything says so.
	async unsupported() {
		const said = [];
		const track = paint(16, 16).track;
		for (const make of [media.createVideoSender, media.createAudioSender]) await make({ track, send() {} }).catch((e) => said.push(`${e.code}: ${e.message}`));
		for (const [make, codec] of [[media.createVideoReceiver, { codec: "vp8", config: { codec: "vp8" } }], [media.createAudioReceiver, { codec: "opus" }]]) {
			const e = await new Promise((onError) => {
				const receiver = make({ codec, onError });
				receiver.attach(document.createElement(make === media.createVideoReceiver ? "canvas" : "audio"));
				receiver.push({ key: true, layer: 0, timestamp: 1, data: new Uint8Array(1) });
			});
			said.push(`${e.code}: ${e.message}`);
		}
		track.stop();
		return { said, capabilities: await media.capabilities() };
	},

	// What the count of leaks is good for.
	async leak() {
		const track = await camera();
		const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
		const { value } = await reader.read();
		value.clone();
		await reader.cancel();
		track.stop();
		const before = globalThis.leaks();
		for (const frame of held) frame.close();
		return [before, globalThis.leaks()];
	},

	// Where sound needs a click: the page is told, and startAudio does it.
	async blocked() {
		const told = [];
		media.onPlaybackChanged((can) => told.push(can));
		const receiver = media.createAudioReceiver({ codec: { codec: "opus", config: { sampleRate: 48000, numberOfChannels: 1 } } });
		receiver.attach();
		await until("being blocked", () => told.length > 0);
		const refused = await media.startAudio().then(() => "", (e) => e.code);
		const button = document.body.appendChild(document.createElement("button"));
		button.id = "sound";
		button.textContent = "sound";
		const clicked = new Promise((resolve) => button.addEventListener("click", () => media.startAudio().then(resolve)));
		globalThis.unblocked = clicked.then(async () => {
			const can = media.canPlayback();
			receiver.stop();
			return { can, told };
		});
		return { can: media.canPlayback(), refused };
	},

	// What it costs: the camera alone, or sent and shown.
	async costBegins(codec) {
		const [track] = await media.capture({ camera: { width: 640, height: 360, frameRate: 25 } });
		if (codec === "none") {
			const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
			const sent = [];
			(async () => { for (;;) { const { value, done } = await reader.read(); if (done) break; value.close(); sent.push(0); } })();
			globalThis.bench = { sent, track, sender: { stats: () => ({}) }, receiver: { stats: () => ({}) }, stop: () => reader.cancel() };
		} else {
			globalThis.bench = { track, ...(await loop({ track, codec: codec === "sent only" ? "vp8" : codec })) };
			if (codec === "sent only") bench.receiver.detach();
		}
		await until("a start", () => bench.sent.length > 50);
	},
	async cost(frames) {
		const from = bench.sent.length;
		await until("frames", () => bench.sent.length >= from + frames);
		return { sender: bench.sender.stats(), receiver: bench.receiver.stats() };
	},
	async costEnds() {
		bench.stop();
		bench.track.stop();
	},
};

globalThis.tests = tests;
