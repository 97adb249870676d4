// Events of a room, told when what they tell of is complete.

/**
 * News tells listeners. Eras separate one connection from the next: what was begun
 * in an earlier one is told to nobody.
 */
export class News {
  era = 0;

  #quiet = false;
  #work = null; // what is being done: {era, held: events that wait until it is}

  /** tell emits an event, at once or when the change under way is complete. */
  tell(target, event, args) {
    if (this.#quiet || (this.#work && this.#work.era !== this.era)) return;
    if (this.#work?.held) this.#work.held.push(() => target.emit(event, ...args));
    else target.emit(event, ...args);
  }

  /** unheard does what is no news. */
  unheard(what) {
    this.#quiet = true;
    try {
      what();
    } finally {
      this.#quiet = false;
    }
  }

  /**
   * during does something of the present era: when a listener ends the connection
   * meanwhile, what is left of it is told to nobody.
   */
  during(what, held = null) {
    const outer = this.#work;
    this.#work = { era: this.era, held };
    try {
      return what(this.#work);
    } finally {
      this.#work = outer;
    }
  }

  /**
   * change has the room changed first, and then told of: no listener sees it half
   * done, and one that disconnects is the last to hear. announce comes in between.
   * It reports whether the connection is still the same.
   */
  change(change, announce = () => {}) {
    return this.during((work) => {
      const { held } = work;
      let whole = false;
      try {
        change();
        whole = true;
      } finally {
        // What has changed is told, even when a message could be read only in part.
        work.held = null;
        if (whole) announce();
        for (const tell of held) {
          if (work.era !== this.era) break;
          tell();
        }
      }
      return work.era === this.era;
    }, []);
  }
}
