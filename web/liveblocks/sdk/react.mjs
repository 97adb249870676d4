// The same page as an application with @liveblocks/react has it.

import { createElement as h, useState } from "react";
import { createRoot } from "react-dom/client";
import {
  ClientSideSuspense, LiveblocksProvider, RoomProvider, useBroadcastEvent, useErrorListener, useEventListener, useOthers, useSelf, useStatus, useUpdateMyPresence,
} from "@liveblocks/react/suspense";

const given = new URLSearchParams(location.search);

function Room() {
  const status = useStatus(), me = useSelf();
  const others = useOthers().map(({ id, canWrite, presence, info }) => ({ id, canWrite, presence, info }));
  const [events, setEvents] = useState([]);
  useEventListener(({ user, connectionId, event }) => setEvents((all) => [...all, { from: connectionId, id: user?.id, event }]));
  globalThis.updatePresence = useUpdateMyPresence();
  globalThis.broadcast = useBroadcastEvent();
  return JSON.stringify({ status, me, others, events });
}

function Page() {
  const [errors, setErrors] = useState([]);
  useErrorListener((e) => setErrors((all) => [...all, { code: e.context.code, message: e.message }]));
  if (errors.length) return JSON.stringify({ status: "disconnected", errors });
  return h(RoomProvider, { id: given.get("room"), initialPresence: { at: given.get("user") } },
    h(ClientSideSuspense, { fallback: JSON.stringify({ status: "loading" }) }, h(Room)));
}

globalThis.state = () => JSON.parse(document.body.textContent || "{}");
createRoot(document.body.appendChild(document.createElement("main"))).render(
  h(LiveblocksProvider, { baseUrl: given.get("server"), authEndpoint: `/auth?user=${given.get("user")}`, throttle: 16 }, h(Page)));
