// What the SDK needs of the world around it. Tests hand in another one.

export const environment = {
  now: () => Date.now(),
  random: () => Math.random(),
  setTimeout: (f, ms) => globalThis.setTimeout(f, ms),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
  setInterval: (f, ms) => globalThis.setInterval(f, ms),
  clearInterval: (timer) => globalThis.clearInterval(timer),

  socket(url, protocols) {
    return new globalThis.WebSocket(url, protocols);
  },

  get origin() {
    return globalThis.location?.origin ?? "";
  },

  offline: () => globalThis.navigator?.onLine === false,

  /**
   * watch calls back with "online", "offline", "awake" and "leaving": the network
   * came or went, the page is looked at again after it may have been asleep, or
   * goes away for good. It returns what ends that.
   */
  watch(tell) {
    const page = globalThis.document;
    if (!page || !globalThis.addEventListener) return () => {};
    const heard = [
      [globalThis, "online", () => tell("online")],
      [globalThis, "offline", () => tell("offline")],
      [globalThis, "pagehide", (e) => e.persisted || tell("leaving")],
      [globalThis, "pageshow", (e) => e.persisted && tell("awake")],
      [page, "visibilitychange", () => page.visibilityState === "visible" && tell("awake")],
      [page, "resume", () => tell("awake")],
    ];
    for (const [target, event, listener] of heard) target.addEventListener(event, listener);
    return () => {
      for (const [target, event, listener] of heard) target.removeEventListener(event, listener);
    };
  },
};
