package room

import (
	"context"
	"crypto/rand"
	"fmt"
	"unicode/utf8"
)

// Codes of an [RPCError] that the server itself answers with. They are LiveKit's.
const (
	RPCMethodMissing   = 1400
	RPCNoRecipient     = 1401
	RPCPayloadTooLarge = 1402
	RPCApplication     = 1500
	RPCTimeout         = 1502
	RPCDisconnected    = 1503
	RPCReplyTooLarge   = 1504
)

// RPCPayloadBytes is the largest payload of a remote call and of its reply.
// It is LiveKit's.
const RPCPayloadBytes = 15 << 10

// An RPCError is how a remote call failed.
type RPCError struct {
	Code    uint32
	Message string
	Data    string
}

func (e *RPCError) Error() string { return fmt.Sprintf("RpcError %d: %s", e.Code, e.Message) }

// A remoteCall waits for its reply.
type remoteCall struct {
	callee *Participant
	reply  chan remoteReply // takes one
}

type remoteReply struct {
	payload string
	err     *RPCError
}

// Perform calls a method of the participant that t names, the latest when there
// are several, and waits for its reply until ctx ends. The errors are
// [ErrNoParticipant] and an [RPCError].
func (r *Room) Perform(ctx context.Context, t Target, method, payload string) (string, error) {
	switch {
	case method == "":
		return "", &RPCError{Code: RPCMethodMissing, Message: "Method not supported at destination"}
	case len(payload) > RPCPayloadBytes:
		return "", &RPCError{Code: RPCPayloadTooLarge, Message: "Request payload too large"}
	}
	if err := r.rooms.cfg.Limits.Topic(method); err != nil {
		return "", err
	}
	id := "RPC_" + rand.Text()[:16]
	b := r.rooms.Batch()
	r.mu.Lock()
	found := r.findLocked(t)
	if len(found) == 0 {
		r.mu.Unlock()
		return "", ErrNoParticipant
	}
	p := found[len(found)-1]
	call := &remoteCall{callee: p, reply: make(chan remoteReply, 1)}
	if r.calls == nil {
		r.calls = make(map[string]*remoteCall)
	}
	r.calls[id] = call
	deadline, _ := ctx.Deadline()
	p.listener.send(b, newFrame(counted, &RemoteCall{Call: id, Method: method, Payload: payload, Deadline: deadline}, len(method)+len(payload)))
	r.mu.Unlock()
	b.Flush()
	defer func() {
		r.mu.Lock()
		delete(r.calls, id)
		r.mu.Unlock()
	}()
	select {
	case reply := <-call.reply:
		if reply.err != nil {
			return "", reply.err
		}
		return reply.payload, nil
	case <-ctx.Done():
		return "", &RPCError{Code: RPCTimeout, Message: "Response timeout"}
	}
}

// ReplyRPC answers a remote call. One that is not p's, or no longer waits, is
// [ErrNoCall].
func (p *Participant) ReplyRPC(c Call, id, payload string, failed *RPCError) error {
	return p.do(c, "rpcReply", func() (Reply, error) {
		call := p.room.calls[id]
		if call == nil || call.callee != p {
			return Reply{}, ErrNoCall
		}
		delete(p.room.calls, id)
		reply := remoteReply{payload, failed}
		switch {
		case failed != nil:
			const most = 256 // as with LiveKit
			if len(failed.Message) > most {
				cut := failed.Message[:most]
				for !utf8.ValidString(cut) {
					cut = cut[:len(cut)-1]
				}
				failed.Message = cut
			}
			if len(failed.Data) > RPCPayloadBytes {
				failed.Data = ""
			}
		case len(payload) > RPCPayloadBytes:
			reply = remoteReply{err: &RPCError{Code: RPCReplyTooLarge, Message: "Response payload too large"}}
		}
		call.reply <- reply
		if reply.err != failed {
			return Reply{}, &LimitError{"payload", RPCPayloadBytes, "bytes"}
		}
		return Reply{}, nil
	})
}

// hangUpLocked ends the calls that wait for a reply of p's, who is gone.
func (r *Room) hangUpLocked(p *Participant) {
	for id, call := range r.calls {
		if call.callee == p {
			delete(r.calls, id)
			call.reply <- remoteReply{err: &RPCError{Code: RPCDisconnected, Message: "Recipient disconnected"}}
		}
	}
}
