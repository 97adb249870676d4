// Events, with the methods that Node's EventEmitter and livekit-client have.

/** Emitter calls listeners in the order in which they were added. */
export class Emitter {
  #listeners = new Map(); // event → [{listener, once}]

  on(event, listener) {
    return this.#add(event, listener, false);
  }

  once(event, listener) {
    return this.#add(event, listener, true);
  }

  off(event, listener) {
    const list = this.#listeners.get(event);
    const at = list?.findLastIndex((entry) => entry.listener === listener) ?? -1;
    if (at >= 0) {
      if (list.length === 1) this.#listeners.delete(event);
      else this.#listeners.set(event, list.toSpliced(at, 1)); // an emit under way keeps its list
    }
    return this;
  }

  addListener(event, listener) {
    return this.on(event, listener);
  }

  removeListener(event, listener) {
    return this.off(event, listener);
  }

  removeAllListeners(event) {
    if (event === undefined) this.#listeners.clear();
    else this.#listeners.delete(event);
    return this;
  }

  listeners(event) {
    return (this.#listeners.get(event) ?? []).map((entry) => entry.listener);
  }

  listenerCount(event) {
    return this.#listeners.get(event)?.length ?? 0;
  }

  /** emit reports whether anybody listened. */
  emit(event, ...args) {
    const list = this.#listeners.get(event);
    if (!list) return false;
    for (const entry of list) {
      if (entry.once) this.off(event, entry.listener);
      try {
        entry.listener.apply(this, args);
      } catch (error) {
        // A mistake of one listener is the page's, and is shown as such. It
        // must not stop the others, or leave half of an event undone.
        report(error);
      }
    }
    return true;
  }

  #add(event, listener, once) {
    if (typeof listener !== "function") throw new TypeError(`the listener of ${String(event)} is not a function`);
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), { listener, once }]);
    return this;
  }
}

/** report shows an error as one that nobody caught. */
export function report(error) {
  if (typeof globalThis.reportError === "function") globalThis.reportError(error);
  else
    queueMicrotask(() => {
      throw error;
    });
}
