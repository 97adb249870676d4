package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
)

// jsonFace speaks the protocol with whoever scripts the command.
type jsonFace struct{ out, err io.Writer }

func (f *jsonFace) message(m message) { f.print(m.text) }

// frameLine is a binary frame in the clothes of a message.
type frameLine struct {
	Type   string `json:"type"`
	Base64 []byte `json:"base64"`
}

func (f *jsonFace) frame(b []byte) { f.print(encode(frameLine{"frame", b})) }

func (f *jsonFace) closed(end closing) {
	f.print(encode(struct {
		Type string `json:"type"`
		closing
	}{"closed", end}))
}

// notice says nothing: what happened is in the messages.
func (f *jsonFace) notice(string, ...any) {}

func (f *jsonFace) endOfInput() bool { return false }

func (f *jsonFace) line(text []byte) []request {
	var m struct {
		Type   string `json:"type"`
		ID     uint64 `json:"id"`
		Base64 string `json:"base64"`
	}
	// What is no such object is sent all the same: the server says what is
	// wrong with it, and a script may want to hear that.
	_ = json.Unmarshal(text, &m)
	if m.Type != "frame" {
		return []request{{id: m.ID, leave: m.Type == "leave", text: text}}
	}
	b, err := base64.StdEncoding.DecodeString(m.Base64)
	if err != nil {
		fmt.Fprintf(f.err, "usher: a frame was not sent, its payload is not base64: %v\n", err)
		return nil
	}
	return []request{{binary: true, text: b}}
}

// print writes one line in one write.
func (f *jsonFace) print(text []byte) {
	if bytes.ContainsAny(text, "\r\n") {
		var b bytes.Buffer
		if json.Compact(&b, text) == nil {
			text = b.Bytes()
		}
	}
	_, _ = f.out.Write(append(bytes.Clone(text), '\n'))
}
