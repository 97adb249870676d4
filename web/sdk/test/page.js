// What the browser tests' page does: it loads the SDK and lets the test drive it.

const from = new URLSearchParams(location.search).get("sdk") ?? "/sdk/usher.js";
const sdk = (window.sdk = await import(from));

window.seen = []; // the names of the room's events, and what came with them
let waiting = [];
const look = () => {
  waiting = waiting.filter(({ condition, done }) => {
    if (!condition()) return true;
    done(true);
    return false;
  });
};

// until resolves when the condition holds, looking whenever something happened.
window.until = (condition) =>
  new Promise((done) => {
    waiting.push({ condition, done });
    look();
  });

window.look = look;

// soon is "", or after half a minute what the room says instead.
window.soon = (condition) =>
  Promise.race([
    window.until(condition).then(() => ""),
    new Promise((done) => setTimeout(() => done(`${window.room?.state}: ${window.seen.map((e) => e.event).join(", ")}`), 30_000)),
  ]);

// make makes the room. Its events are kept.
window.make = (options = {}) => {
  const room = (window.room = new sdk.Room(options));
  const emit = room.emit.bind(room);
  room.emit = (event, ...args) => {
    const heard = emit(event, ...args);
    window.seen.push({ event, args });
    queueMicrotask(look);
    return heard;
  };
  window.me = room.localParticipant;
  window.who = (identity) => room.getParticipantByIdentity(identity);
  return room;
};

window.events = (name) => window.seen.filter((e) => e.event === name).map((e) => e.args);

// outcome is what became of a promise, in words.
window.outcome = async (promise) => {
  try {
    return JSON.stringify({ ok: (await promise) ?? null }, (k, v) => (v instanceof sdk.Room || v instanceof sdk.TrackPublication ? "…" : v));
  } catch (e) {
    const { name, message, code, permission, layer, reason, reasonName, closeReason } = e;
    return JSON.stringify({ name, message, code, permission, layer, reason, reasonName, closeReason });
  }
};

// picture is a track of a canvas on which something moves.
window.picture = () => {
  const canvas = document.createElement("canvas");
  canvas.width = 160;
  canvas.height = 90;
  const pen = canvas.getContext("2d");
  let n = 0;
  setInterval(() => {
    pen.fillStyle = `hsl(${(n += 20) % 360} 90% 50%)`;
    pen.fillRect(0, 0, 160, 90);
  }, 50);
  return canvas.captureStream(20).getVideoTracks()[0];
};

window.ready = true;
