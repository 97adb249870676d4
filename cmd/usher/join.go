package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// joinCmd joins a room from the terminal.
type joinCmd struct {
	URL       string `default:"ws://127.0.0.1:7880" placeholder:"URL" help:"Address of the server (${default})."`
	Token     string `env:"USHER_TOKEN" placeholder:"TOKEN" help:"Token to join with; - reads it from the first line of the input. Others on this machine can read the command line, but not the environment."`
	PublicKey string `placeholder:"KEY" help:"Liveblocks public key, pk_…, to join with in place of a token."`
	Room      string `help:"Room to join; counts only without a token that names one."`
	Name      string `help:"Name to show; counts only without a token."`

	JSON          bool  `help:"Speak the protocol: messages of the server as lines of JSON on the output, messages to it as lines on the input."`
	AutoSubscribe bool  `default:"true" negatable:"" help:"Receive every track as it is published (on unless --no-auto-subscribe)."`
	Reconnect     *bool `aliases:"resume" negatable:"" help:"Come back when the connection is lost and the close code allows it (on; with --json, off)."`
}

// Help is the long text of --help.
func (joinCmd) Help() string {
	return `
Shows in words who comes and goes, what is said, whose rights change and what is refused. Every line you type is sent to everybody in the room; lines that begin with a slash are commands, /help lists them.

With --json every text message of the server is one line of output, as it came. Binary frames are {"type":"frame","base64":"…"}. The last line is {"type":"closed","code":1000,"reason":"left","reconnect":false}; code 1006 means that the connection ended without a code. Every line of input is sent as it is, once the room is joined; {"type":"frame","base64":"…"} sends a binary frame. Receipts (ack) are sent by the command itself. After {"type":"moved",…} the session goes on in another room. A call of the application, {"type":"rpc","rpc":"RPC_…",…}, is answered by {"type":"rpcReply","id":1,"rpc":"RPC_…","payload":"…"}.

The end of the input does not end the session, except that Ctrl-D at a terminal leaves. SIGINT and SIGTERM leave.

The exit code is 0 after an own leave, 1 when the server refused or put out, or the connection was lost for good.
`
}

func (j *joinCmd) Run(ctx context.Context, std *streams) error {
	address, err := sessionURL(j.URL)
	if err != nil {
		return err
	}
	if j.PublicKey != "" && j.Token != "" {
		return usageErrorf("--public-key stands in place of a token; give one of them")
	}
	in := bufio.NewReader(std.In)
	token := j.Token
	if token == "-" {
		line, err := in.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading the token: %w", err)
		}
		token = strings.TrimSpace(line)
	}
	var f face
	if j.JSON {
		f = &jsonFace{out: std.Out, err: std.Err}
	} else {
		f = newPlainFace(std)
	}
	done := make(chan struct{})
	defer close(done)
	l := &link{
		url:       address,
		token:     token,
		publicKey: j.PublicKey,
		room:      j.Room,
		name:      j.Name,
		muteAll:   !j.AutoSubscribe,
		comeBack:  !j.JSON,
		face:      f,
		lines:     readLines(in, done),
	}
	if j.Reconnect != nil {
		l.comeBack = *j.Reconnect
	}
	end, clean := l.run(ctx)
	f.closed(end)
	switch {
	case clean:
		return nil
	case end.err != nil && !l.joinedOnce:
		err := end.err
		if isLocal(address) && errors.Is(err, syscall.ECONNREFUSED) {
			err = withHint(err, "is a server running there? usher serve --dev starts one")
		}
		return err
	}
	return &exitError{exitFailure}
}

// sessionURL completes the address of a server to that of its WebSocket.
func sessionURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "", usageErrorf("--url %s is not an address; write it like ws://127.0.0.1:7880", text)
	}
	switch u.Scheme {
	case "ws", "wss":
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	default:
		return "", usageErrorf("--url must begin with ws:// or wss://, not %s://", u.Scheme)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/session"
	}
	u.RawQuery, u.Fragment = "", ""
	return u.String(), nil
}

func isLocal(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Hostname() == "127.0.0.1" || u.Hostname() == "localhost")
}

// readLines reads lines of any length until the input ends or done is closed.
// A read that blocks outlives the command; there is no way to end it.
func readLines(in *bufio.Reader, done <-chan struct{}) <-chan []byte {
	lines := make(chan []byte)
	go func() {
		defer close(lines)
		for {
			line, err := in.ReadBytes('\n')
			if text := strings.TrimRight(string(line), "\r\n"); text != "" {
				select {
				case lines <- []byte(text):
				case <-done:
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return lines
}

// isTerminal reports whether somebody sits at the other end of a stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	// The null device is a character device, too.
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
