package media_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
)

func TestAudio(t *testing.T) {
	b, address := browser(t, audible), serve(t)
	for name, query := range map[string]string{"processor": "", "worklet": "?without=MediaStreamTrackProcessor"} {
		for _, element := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %t", name, element), func(t *testing.T) {
				var got struct {
					Codec struct {
						Codec  string
						Config struct {
							Codec                        string
							SampleRate, NumberOfChannels int
						}
					}
					Sender, Loud   stats
					Sent           []frame
					Heard          float64
					During         int
					Loudness       struct{ Sent, Received float64 }
					Quiet          float64
					Playing, Empty bool
					Errors         []string
				}
				open(t, b, address+"/"+query).test(&got, "audio", element)
				if got.Codec.Config.Codec != "opus" || got.Codec.Config.SampleRate != 48000 || len(got.Errors) > 0 {
					t.Errorf("got codec %+v, errors %q", got.Codec, got.Errors)
				}
				if element && (got.Heard < 950 || got.Heard > 1050) {
					t.Errorf("heard %.0f Hz, want 1000", got.Heard)
				}
				if got.During != 0 || !got.Playing || !got.Empty {
					t.Errorf("%d frames during the pause, playing %t, empty %t", got.During, got.Playing, got.Empty)
				}
				// A sine of half the amplitude has a root of the mean square of 0.35.
				for _, level := range []float64{got.Loudness.Sent, got.Loudness.Received} {
					if level < 0.3 || level > 0.4 {
						t.Errorf("loudness is %+v, want 0.35", got.Loudness)
					}
				}
				if got.Quiet != 0 {
					t.Errorf("paused and muted it is %v loud", got.Quiet)
				}
				for i, f := range got.Sent {
					if !f.Key || f.Layer != 0 || i > 0 && f.Timestamp <= got.Sent[i-1].Timestamp {
						t.Errorf("frame %d: %+v", i, f)
					}
				}
				gaps := []int64{}
				for i, f := range got.Sent[1:] {
					gaps = append(gaps, f.Timestamp-got.Sent[i].Timestamp)
				}
				slices.Sort(gaps)
				if median := gaps[len(gaps)/2]; median < 19_000 || median > 21_000 {
					t.Errorf("frames of %d µs, want 20 ms", median)
				}
				t.Logf("%+v %+v", got.Sender, got.Loud)
			})
		}
	}
	t.Run("another origin", func(t *testing.T) { // worklet and all
		var got struct{ Loud stats }
		open(t, b, serve(t, address)+"/?from="+url.QueryEscape(address)).test(&got, "audio", true)
	})
	t.Run("with video", func(t *testing.T) {
		var got struct {
			Apart, Level float64
			Kinds        []string
		}
		open(t, b, address).test(&got, "both")
		if got.Apart > 1000 || len(got.Kinds) != 2 {
			t.Errorf("got %+v", got)
		}
	})
}
