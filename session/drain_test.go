package session_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"usher/session/sessiontest"
	"usher/session/wire"
)

// A server that is told to stop tells every client when to come back, each at
// another time, ends the connections one after the other, and lets nobody in
// meanwhile.
func TestDrain(t *testing.T) {
	inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
		var clients []*sessiontest.Client
		for i := range 40 {
			c, _ := s.Join(s.Token("lobby", fmt.Sprint(i)))
			clients = append(clients, c)
		}
		waiting := s.Dial(nil) // has not joined
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		done := make(chan error, 1)
		began := time.Now()
		go func() { done <- s.Sessions.Drain(ctx) }()
		synctest.Wait()

		hints := map[string]bool{}
		for _, c := range clients {
			hints[c.Expect("reconnect").Str("afterMs")] = true
		}
		if len(hints) < 20 {
			t.Errorf("40 clients were given %d different times", len(hints))
		}
		s.Dial(nil).ExpectClose(wire.ServerShutdown) // whatever it would have said

		moments := map[time.Duration]int{}
		ended := map[*sessiontest.Client]bool{}
		for len(ended) < len(clients) {
			for _, c := range clients {
				if !ended[c] && c.Err() != nil {
					ended[c] = true
					moments[time.Since(began)]++
					c.ExpectClose(wire.ServerShutdown)
				}
			}
			if time.Since(began) > 10*time.Second {
				t.Fatalf("%d of %d connections have ended", len(ended), len(clients))
			}
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		if len(moments) < 10 {
			t.Errorf("40 connections ended at %d different moments", len(moments))
		}
		waiting.ExpectClose(wire.ServerShutdown)
		if err := <-done; err != nil {
			t.Errorf("got %v", err)
		}
		s.Dial(nil).ExpectClose(wire.ServerShutdown)
	})
}

// Clients that read nothing, or do not answer the close, do not hold a server
// that stops beyond its time.
func TestDrainWithJammedClients(t *testing.T) {
	sc := newScene(t, sessiontest.Options{})
	sc.jam(300 << 10)
	silent := sc.s.DialRaw() // never says anything
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sc.s.Sessions.Drain(ctx) }()
	sc.ada.ExpectClose(wire.ServerShutdown)
	if code, _ := silent.Closed(); code != wire.ServerShutdown {
		t.Errorf("one that has not joined got %d", code)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A connection that joins at the very moment is ended like all others, and
// hears nothing after its close frame.
func TestDrainMeetsJoins(t *testing.T) {
	for range rounds(100) {
		inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
			var victims []*sessiontest.Raw
			for i := range 8 {
				c := s.DialRaw()
				c.Send(sessiontest.MaskedFrame(0x81, []byte(`{"type":"join","token":"`+s.Token("lobby", fmt.Sprint(i))+`"}`)))
				victims = append(victims, c)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- s.Sessions.Drain(ctx) }()
			for _, c := range victims {
				if code := ending(t, &scene{victim: c}); code != wire.ServerShutdown {
					t.Errorf("got %d", code)
				}
			}
			if err := <-done; err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}
