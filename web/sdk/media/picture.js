// Where a decoded picture goes: canvases, video elements, a MediaStreamTrack.

// A Picture shows frames in everything attached to it.
export class Picture {
	#canvases = new Set();
	#videos = new Set();
	#output = null; // for video elements and whoever wants a track
	#blank = false;

	// wanted tells whether anybody sees it.
	get wanted() {
		return this.#canvases.size > 0 || this.#output !== null;
	}

	attach(element) {
		if (typeof element.getContext === "function") {
			this.#canvases.add(element);
			return;
		}
		this.#videos.add(element);
		element.playsInline = element.autoplay = true;
		if (!this.#blank) this.#connect(element);
	}

	detach(element) {
		for (const one of element ? [element] : [...this.#canvases, ...this.#videos]) {
			if (this.#canvases.delete(one)) wipe(one);
			if (this.#videos.delete(one)) this.#disconnect(one);
		}
		if (!this.#videos.size && !this.#output?.given) this.#close();
	}

	get track() {
		this.#open().given = true;
		return this.#output.track;
	}

	#open() {
		return (this.#output ??= makeOutput());
	}

	#close() {
		this.#output?.stop();
		this.#output = null;
	}

	#connect(element) {
		const { track } = this.#open();
		const stream = element.srcObject instanceof MediaStream ? element.srcObject : new MediaStream();
		if (!stream.getTracks().includes(track)) stream.addTrack(track);
		// Without sound it may play before anybody has clicked.
		if (!stream.getAudioTracks().length) element.muted = true;
		if (element.srcObject !== stream) element.srcObject = stream;
		element.play().catch(() => {}); // autoplay tries again
	}

	#disconnect(element) {
		if (!this.#output || !(element.srcObject instanceof MediaStream)) return;
		element.srcObject.removeTrack(this.#output.track);
		if (!element.srcObject.getTracks().length) element.srcObject = null;
	}

	// show takes the frame, which is closed when it was shown.
	show(frame) {
		for (const canvas of this.#canvases) draw(canvas, frame);
		if (this.#output) this.#output.write(frame);
		else frame.close();
	}

	// blank takes the picture away, or lets it come back with the next frame.
	blank(on) {
		if (on === this.#blank) return;
		this.#blank = on;
		if (on) for (const canvas of this.#canvases) wipe(canvas);
		for (const video of this.#videos) on ? this.#disconnect(video) : this.#connect(video);
	}

	stop() {
		this.detach();
		this.#close();
	}
}

function draw(canvas, frame) {
	const { displayWidth: width, displayHeight: height } = frame;
	if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
	canvas.getContext("2d", { alpha: false })?.drawImage(frame, 0, 0, width, height);
}

function wipe(canvas) {
	canvas.getContext("2d", { alpha: false })?.clearRect(0, 0, canvas.width, canvas.height);
}

// makeOutput is a track to write frames to.
function makeOutput() {
	const Generator = globalThis.MediaStreamTrackGenerator ?? globalThis.VideoTrackGenerator;
	if (!Generator) return paintedOutput();
	const generator = new Generator({ kind: "video" });
	const track = generator.track ?? generator;
	const writer = generator.writable.getWriter();
	return {
		track,
		given: false,
		write(frame) {
			if (writer.desiredSize > 0) writer.write(frame).catch(() => frame.close());
			else frame.close(); // the last one is not shown yet
		},
		stop() {
			writer.close().catch(() => {});
			track.stop();
		},
	};
}

// paintedOutput is for browsers without a generator in the page.
function paintedOutput() {
	const canvas = document.createElement("canvas");
	canvas.getContext("2d", { alpha: false });
	const [track] = canvas.captureStream().getVideoTracks();
	return {
		track,
		given: false,
		write(frame) {
			draw(canvas, frame);
			frame.close();
		},
		stop: () => track.stop(),
	};
}
