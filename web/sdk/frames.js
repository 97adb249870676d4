// Track frames on the wire: a header of 15 bytes and at most 16 KiB of payload,
// larger frames in fragments. docs/protocol.md has the format.

export const headerBytes = 15;
export const maxFragmentBytes = 16 << 10;

// A frame that is larger than this is nobody's video; it is thrown away rather
// than collected.
const maxFrameBytes = 16 << 20;

// Nor is one of more fragments than this, however small they are.
const maxFragments = 4096;

const flagKey = 1;
const flagLast = 8;

/**
 * fragment cuts a frame {key, layer, timestamp, data} into what goes on the
 * wire, one Uint8Array for each binary message.
 */
export function fragment(handle, counter, frame) {
  const { data } = frame;
  const count = Math.max(1, Math.ceil(data.length / maxFragmentBytes));
  const flags = (frame.key ? flagKey : 0) | ((frame.layer & 3) << 1);
  const timestamp = BigInt.asUintN(64, BigInt(Math.max(0, Math.round(frame.timestamp))));
  const messages = new Array(count);
  for (let i = 0; i < count; i++) {
    const part = data.subarray(i * maxFragmentBytes, (i + 1) * maxFragmentBytes);
    const message = new Uint8Array(headerBytes + part.length);
    const view = new DataView(message.buffer);
    view.setUint32(0, handle);
    view.setUint8(4, i === count - 1 ? flags | flagLast : flags);
    view.setUint16(5, counter & 0xffff);
    view.setBigUint64(7, timestamp);
    message.set(part, headerBytes);
    messages[i] = message;
  }
  return messages;
}

/** parseFragment reads a binary message (an ArrayBuffer), or returns null. */
export function parseFragment(buffer) {
  if (buffer.byteLength < headerBytes) return null;
  const view = new DataView(buffer);
  const flags = view.getUint8(4);
  if (flags & 0xf0) return null;
  return {
    handle: view.getUint32(0),
    key: (flags & flagKey) !== 0,
    layer: (flags >> 1) & 3,
    last: (flags & flagLast) !== 0,
    counter: view.getUint16(5),
    timestamp: Number(view.getBigUint64(7)),
    data: new Uint8Array(buffer, headerBytes),
  };
}

/** Assembler puts the fragments of one track together. */
export class Assembler {
  #counter = -1; // of the frame that is being collected
  #parts = [];
  #bytes = 0;
  #spoilt = false; // the rest of the frame is thrown away
  #layer = 0;
  #lost;

  /** lost is called with the layer of a frame that was begun and not completed. */
  constructor(lost = () => {}) {
    this.#lost = lost;
  }

  /**
   * push takes the next fragment and returns the frame that it completes, or
   * null. The rest of a frame of which fragments were lost is thrown away.
   */
  push(f) {
    if (f.counter !== this.#counter) {
      // What was begun is not going to be completed. A key frame makes up for it.
      const begun = this.#parts.length > 0;
      const layer = this.#layer;
      this.reset();
      this.#counter = f.counter;
      this.#layer = f.layer;
      if (begun && !f.key) this.#lost(layer);
    }
    if (this.#spoilt || (f.data.length === 0 && !f.last)) return null;
    this.#parts.push(f.data);
    this.#bytes += f.data.length;
    if (this.#bytes > maxFrameBytes || this.#parts.length > maxFragments) {
      this.#spoilt = true;
      this.#parts = [];
      this.#bytes = 0;
      this.#lost(this.#layer);
      return null;
    }
    if (!f.last) return null;
    const data = this.#parts.length === 1 ? this.#parts[0] : join(this.#parts, this.#bytes);
    this.reset();
    return { key: f.key, layer: f.layer, timestamp: f.timestamp, data };
  }

  reset() {
    this.#spoilt = false;
    this.#counter = -1;
    this.#parts = [];
    this.#bytes = 0;
  }
}

function join(parts, bytes) {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * Gate decides which frames of a track go out while the socket backs up: audio
 * goes on when video has long stopped, since a call without picture is still a
 * call. What is dropped is dropped so that the rest can be decoded.
 */
export class Gate {
  #limit;
  #dropping = -1; // frames from this temporal layer on wait for a lower one; 0: for a key frame
  #wanted = false; // a key frame has been asked for
  dropped = 0;

  constructor(kind) {
    this.#limit = kind === "audio" ? audioBacklog : videoBacklog;
  }

  /** need has everything wait for a key frame: frames were lost on the way. */
  need() {
    if (this.#limit === videoBacklog) this.#dropping = 0;
    this.#wanted = false;
  }

  /** pass reports whether a frame goes out; wantKey is called when a key frame is needed. */
  pass(frame, backlog, wantKey) {
    if (backlog > this.#limit) {
      if (this.#limit === videoBacklog && (this.#dropping < 0 || frame.layer < this.#dropping)) this.#dropping = frame.layer;
      this.dropped++;
      return false;
    }
    if (this.#dropping < 0 || frame.key) {
      this.#dropping = -1;
      this.#wanted = false;
      return true;
    }
    if (this.#dropping > 0 && frame.layer < this.#dropping) {
      this.#dropping = -1; // a frame of a lower layer does not need those of higher ones
      return true;
    }
    this.dropped++;
    if (this.#dropping === 0 && !this.#wanted) {
      this.#wanted = true;
      wantKey();
    }
    return false;
  }
}

// A backlog of this many bytes in the socket is about a second of the video
// that a page sends, and well over a second of many audio tracks.
export const videoBacklog = 128 << 10;
export const audioBacklog = 512 << 10;
