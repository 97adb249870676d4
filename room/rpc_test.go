package room_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usher/room"
)

// perform calls a method of a participant, and returns what comes of it.
func (h *hall) perform(ctx context.Context, identity, method, payload string) chan any {
	done := make(chan any, 1)
	r := h.room()
	go func() {
		reply, err := r.Perform(ctx, room.Target{Identity: identity}, method, payload)
		if err != nil {
			done <- err
			return
		}
		done <- reply
	}()
	return done
}

func (m *member) called(t *testing.T) *room.RemoteCall {
	t.Helper()
	synctest.Wait()
	return last[*room.RemoteCall](t, m)
}

func code(result any) uint32 {
	var e *room.RPCError
	if err, ok := result.(error); ok && errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// rpcTest runs a test in a bubble: with ada, who is called, and bob.
func rpcTest(t *testing.T, f func(t *testing.T, h *hall, ada, bob *member)) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, room.Config{AutoCreate: true})
		f(t, h, h.join("ada"), h.join("bob"))
	})
}

func TestPerform(t *testing.T) {
	rpcTest(t, func(t *testing.T, h *hall, ada, bob *member) {
		n := bob.count()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		done := h.perform(ctx, "ada", "greet", "hello")
		call := ada.called(t)
		if call.Method != "greet" || call.Payload != "hello" || !call.Deadline.Equal(time.Now().Add(10*time.Second)) {
			t.Errorf("ada was called %+v", call)
		}
		// Only the one who was called can reply.
		must(t, bob.p.ReplyRPC(bob.call(1), call.Call, "from bob", nil))
		must(t, ada.p.ReplyRPC(ada.call(1), "RPC_other", "of another", nil))
		bob.batch.Flush()
		ada.batch.Flush()
		h.expect(bob, n, "Reply")
		for _, m := range []*member{ada, bob} {
			if r := last[*room.Reply](t, m); !errors.Is(r.Err, room.ErrNoCall) {
				t.Errorf("%s is answered with %v, want that there is no such call", m.p.Identity, r.Err)
			}
		}
		must(t, ada.p.ReplyRPC(ada.call(2), call.Call, "hello yourself", nil), ada.p.ReplyRPC(ada.call(3), call.Call, "again", nil))
		ada.batch.Flush()
		if got := <-done; got != "hello yourself" {
			t.Errorf("got %v", got)
		}
		if r := last[*room.Reply](t, ada); r.ID != 3 || !errors.Is(r.Err, room.ErrNoCall) {
			t.Errorf("the second reply is answered with %+v", r)
		}
	})
}

func TestPerformFails(t *testing.T) {
	large := strings.Repeat("x", room.RPCPayloadBytes+1)
	reply := func(payload string, failed *room.RPCError) func(*hall, *member, *room.RemoteCall) {
		return func(h *hall, ada *member, call *room.RemoteCall) {
			must(h.t, ada.p.ReplyRPC(ada.call(1), call.Call, payload, failed))
			ada.batch.Flush()
		}
	}
	for name, c := range map[string]struct {
		identity, method, payload string
		then                      func(*hall, *member, *room.RemoteCall) // once it was called
		code                      uint32
		message                   string
	}{
		"no method":         {"ada", "", "", nil, room.RPCMethodMissing, "Method not supported at destination"},
		"too large":         {"ada", "greet", large, nil, room.RPCPayloadTooLarge, "Request payload too large"},
		"nobody":            {"eve", "greet", "", nil, 0, room.ErrNoParticipant.Error()},
		"long method":       {"ada", strings.Repeat("m", 257), "", nil, 0, "topic exceeds the limit of 256 bytes"},
		"its own error":     {"ada", "greet", "", reply("", &room.RPCError{Code: 99, Message: "no", Data: "data"}), 99, "no"},
		"a long error":      {"ada", "greet", "", reply("", &room.RPCError{Code: 99, Message: strings.Repeat("ü", 200), Data: large}), 99, strings.Repeat("ü", 128)},
		"a reply too large": {"ada", "greet", "", reply(large, nil), room.RPCReplyTooLarge, "Response payload too large"},
		"no reply":          {"ada", "greet", "", func(*hall, *member, *room.RemoteCall) { time.Sleep(10 * time.Second) }, room.RPCTimeout, "Response timeout"},
		"it leaves":         {"ada", "greet", "", func(_ *hall, ada *member, _ *room.RemoteCall) { ada.leave() }, room.RPCDisconnected, "Recipient disconnected"},
		"it is moved":       {"ada", "greet", "", func(h *hall, _ *member, _ *room.RemoteCall) { must(h.t, h.move("ada", "hall", "stage")) }, room.RPCDisconnected, "Recipient disconnected"},
		"it is replaced":    {"ada", "greet", "", func(h *hall, _ *member, _ *room.RemoteCall) { h.join("ada") }, room.RPCDisconnected, "Recipient disconnected"},
		"the room ends": {"ada", "greet", "", func(h *hall, _ *member, _ *room.RemoteCall) { must(h.t, h.room().Delete(h.rooms.Batch())) },
			room.RPCDisconnected, "Recipient disconnected"},
	} {
		t.Run(name, func(t *testing.T) {
			rpcTest(t, func(t *testing.T, h *hall, ada, bob *member) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				n := ada.count()
				done := h.perform(ctx, c.identity, c.method, c.payload)
				synctest.Wait()
				if c.then == nil {
					h.expect(ada, n)
				} else {
					call := ada.called(t)
					c.then(h, ada, call)
					// What comes too late reaches nobody.
					defer func() {
						m := ada
						if q := m.p.Successor(); q != nil {
							m.p = q
						}
						_ = m.p.ReplyRPC(m.call(9), call.Call, "late", nil)
						m.batch.Flush()
					}()
				}
				result := <-done
				err, _ := result.(error)
				if got := code(result); got != c.code || err == nil || !strings.HasSuffix(err.Error(), c.message) {
					t.Errorf("got %v, want %d %s", result, c.code, c.message)
				}
				var remote *room.RPCError
				if errors.As(err, &remote) && name == "its own error" && remote.Data != "data" || remote != nil && len(remote.Data) > room.RPCPayloadBytes {
					t.Errorf("its data has %d bytes", len(remote.Data))
				}
			})
		})
	}
}

// A call waits while the one who is called is away for a moment: it is sent
// again with what was missed.
func TestPerformAcrossACut(t *testing.T) {
	rpcTest(t, func(t *testing.T, h *hall, ada, _ *member) {
		joined := last[*room.Snapshot](t, ada)
		received := reliable(ada.since(0))
		ada.p.Disconnected(ada.batch, 1, true)
		ada.batch.Flush()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		done := h.perform(ctx, "ada", "greet", "")
		synctest.Wait()
		back, err := h.resume(joined, received)
		must(t, err)
		call := back.called(t)
		must(t, back.p.ReplyRPC(room.Call{Generation: generation(h, back), ID: 1, Batch: back.batch}, call.Call, "here", nil))
		if got := <-done; got != "here" {
			t.Errorf("got %v", got)
		}
	})
}
