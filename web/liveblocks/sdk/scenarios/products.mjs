// Products of Liveblocks that usher does not offer: whoever asks is told so, soon
// and in a way that their SDK understands.

import assert from "node:assert/strict";
import { scenario, thrown } from "../scene.mjs";

scenario("products: pages are told that comments and notifications are not offered", async (s) => {
  const room = await s.made();
  const ada = await s.enter(room, { user: "ada" });
  const body = { version: 1, content: [{ type: "paragraph", children: [{ text: "hi" }] }] };
  for (const [name, call] of Object.entries({
    createThread: () => ada.room.createThread({ body }),
    createComment: () => ada.room.createComment({ threadId: "th_1", body }),
    editComment: () => ada.room.editComment({ threadId: "th_1", commentId: "cm_1", body }),
    getThread: async () => { const { thread } = await ada.room.getThread("th_1"); if (!thread) throw new Error("not offered: no thread"); },
    markThreadAsResolved: () => ada.room.markThreadAsResolved({ threadId: "th_1" }),
    getSubscriptionSettings: () => ada.room.getSubscriptionSettings(),
    getInboxNotifications: () => ada.client.getInboxNotifications(),
    getUnreadInboxNotificationsCount: () => ada.client.getUnreadInboxNotificationsCount(),
    markAllInboxNotificationsAsRead: () => ada.client.markAllInboxNotificationsAsRead(),
    getNotificationSettings: () => ada.client.getNotificationSettings(),
  })) {
    const e = await thrown(call());
    assert.match(e.message, /not offered/i, name);
  }
  // A room without threads is what the client makes of this one.
  assert.deepEqual((await ada.room.getThreads()).threads, []);
  for (const call of [() => ada.room.fetchFeeds(), () => ada.room.addFeed("f"), () => ada.room.fetchFeedMessages("f"), () => ada.room.deleteFeed("f")]) {
    const e = await thrown(call());
    assert.match(e.message, /not offered/i, call.toString());
  }
  ada.says("still here");
  ada.stayed();
});

scenario("products: backends read a storage that is empty", async (s) => {
  const room = await s.made();
  assert.deepEqual(await s.backend.getStorageDocument(room, "json"), {});
  assert.deepEqual(await s.backend.getStorageDocument(room), { liveblocksType: "LiveObject", data: {} });
});

scenario("products: backends are told that they are not offered", async (s) => {
  const room = await s.made();
  const b = s.backend;
  const body = { version: 1, content: [] };
  for (const [name, call] of Object.entries({
    getThreads: () => b.getThreads({ roomId: room }),
    createThread: () => b.createThread({ roomId: room, data: { comment: { userId: "ada", body } } }),
    createComment: () => b.createComment({ roomId: room, threadId: "th_1", data: { userId: "ada", body } }),
    triggerInboxNotification: () => b.triggerInboxNotification({ userId: "ada", kind: "$test", subjectId: "1", activityData: {} }),
    getInboxNotifications: () => b.getInboxNotifications({ userId: "ada" }),
    getGroups: () => b.getGroups(),
    createGroup: () => b.createGroup({ groupId: "g" }),
    getAiCopilots: () => b.getAiCopilots(),
    getFeeds: () => b.getFeeds({ roomId: room }),
    getYjsDocument: () => b.getYjsDocument(room),
    sendYjsBinaryUpdate: () => b.sendYjsBinaryUpdate(room, new Uint8Array([0, 0])),
    initializeStorageDocument: () => b.initializeStorageDocument(room, { liveblocksType: "LiveObject", data: {} }),
    mutateStorage: () => b.mutateStorage(room, ({ root }) => root.set("a", 1)),
  })) {
    const e = await thrown(call());
    assert.equal(e.name, "LiveblocksError", `${name}: ${e.stack}`);
    assert(e.status >= 400 && e.status < 500, `${name}: ${e.status}`); // the SDKs try a 5xx again
    assert.match(e.message, /not offered/i, name);
  }
});
