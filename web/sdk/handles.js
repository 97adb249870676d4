// The frames of tracks on their way: what comes under a handle belongs to one publication.

import { Assembler, parseFragment } from "./frames.js";

export class Handles {
  #of = new Map(); // track handle → {publication, assembler}

  /** open has what comes under the handle go to the publication's track. */
  open(handle, publication) {
    this.#of.set(handle, { publication, assembler: new Assembler((layer) => publication.track?._lost(layer)) });
  }

  /** close: no frames of the publication follow under the handle it has. */
  close(publication) {
    const handle = publication?.trackInfo.handle;
    if (handle !== undefined && this.#of.get(handle)?.publication === publication) this.#of.delete(handle);
  }

  clear() {
    this.#of.clear();
  }

  /** take takes a binary message. */
  take(buffer) {
    const part = parseFragment(buffer);
    const target = part && this.#of.get(part.handle);
    const frame = target?.assembler.push(part);
    if (frame) target.publication.track?._push(frame);
  }
}
