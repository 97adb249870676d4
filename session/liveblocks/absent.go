package liveblocks

import (
	"usher/session"
	"usher/session/internal/text"
)

// What is not built yet is answered in a way that no page waits for ever.

// Reasons of a rejected change of Storage.
const (
	readOnly = "not allowed: this user may only read"
	notKept  = "this server does not keep Storage yet: the change was not made"
)

var (
	emptyStorage   = textFrame([]byte(`[{"type":210,"nodes":[["root",{}]]},{"type":211}]`))
	emptyStorageV7 = textFrame([]byte(`{"type":200,"items":[["root",{"type":0,"data":{}}]]}`))
)

// What an empty Yjs document is, of yjs 13: an update without structs and
// deletions in either encoding, its state vector, and the SHA-256 of its snapshot.
const (
	emptyUpdate   = `"AAA="`
	emptyUpdateV2 = `"AAAAAAAAAQAAAAAAAA=="`
	emptyVector   = `"AA=="`
	emptySnapshot = `"lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c="`
)

func textFrame(body []byte) []byte {
	return session.AppendText(make([]byte, 0, session.TextFrameBytes(len(body))), body)
}

// rejection is REJECT_STORAGE_OP for all of ops; nil when there is none.
func rejection(ops text.Value, reason string) []byte {
	b := []byte(`{"type":299,"opIds":[`)
	some, comma := false, false
	ops.Elements(func(op text.Value) bool {
		some = true
		if !op.IsObject() {
			return true
		}
		var id text.Value
		op.Fields(func(name []byte, value text.Value) bool {
			if string(name) == "opId" {
				id = value
			}
			return true
		})
		if id.IsString() {
			if comma {
				b = append(b, ',')
			}
			b, comma = append(b, id...), true
		}
		return true
	})
	if !some {
		return nil
	}
	b = append(b, `],"reason":`...)
	return textFrame(append(text.AppendString(b, reason), '}'))
}

// emptyYDoc answers FETCH_YDOC.
func emptyYDoc(guid text.Value, v2 bool) []byte {
	b := []byte(`{"type":300,"update":`)
	if v2 {
		b = append(b, emptyUpdateV2...)
	} else {
		b = append(b, emptyUpdate...)
	}
	b = append(b, `,"isSync":true,"stateVector":`+emptyVector...)
	if guid.IsString() {
		b = append(append(b, `,"guid":`...), guid...)
	}
	if v2 {
		b = append(b, `,"v2":true`...)
	}
	return textFrame(append(b, `,"remoteSnapshotHash":`+emptySnapshot+`}`...))
}

// noFeeds answers a request about feeds.
func noFeeds(requestID text.Value) []byte {
	b := append([]byte(`{"type":508,"requestId":`), requestID...)
	return textFrame(append(b, `,"code":"INTERNAL","reason":"feeds are not offered by this server"}`...))
}
