package media_test

import (
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/systeminfo"
	"github.com/chromedp/chromedp"
)

func TestVideo(t *testing.T) {
	b, address := browser(t, audible), serve(t)
	var can capabilities
	open(t, b, address).test(&can, "capabilities")
	t.Logf("%+v", can)
	for _, list := range [][]string{can.Video.Send, can.Video.Receive} {
		if len(list) < 2 || list[0] != "vp8" || list[1] != "vp9" {
			t.Errorf("got %q, want at least vp8 and vp9", list)
		}
	}
	if !slices.Equal(can.Audio.Send, []string{"opus"}) || !slices.Equal(can.Audio.Receive, []string{"opus"}) || can.Reason != "" {
		t.Errorf("got %+v, want opus and no reason", can)
	}
	for _, codec := range can.Video.Send {
		t.Run("resize "+codec, func(t *testing.T) {
			var got struct {
				Key    bool
				Stats  stats
				Errors []string
			}
			open(t, b, address).test(&got, "resize", codec)
			if !got.Key || got.Stats.Width != 320 || got.Stats.Height != 180 || len(got.Errors) > 0 {
				t.Errorf("got %+v", got)
			}
		})
	}
	for _, codec := range can.Video.Send[:2] {
		t.Run("picture "+codec, func(t *testing.T) {
			var got struct {
				Codec struct {
					Codec  string
					Config struct {
						Codec                   string
						CodedWidth, CodedHeight int
					}
					ClockRate int
				}
				Sender, Receiver stats
				Sent             []frame
				Errors           []string
				Now              float64
				Size             []int
				Empty            bool
				Live             string
			}
			open(t, b, address).test(&got, "picture", codec)
			if got.Codec.Codec != codec || got.Codec.Config.CodedWidth != 160 || got.Codec.Config.CodedHeight != 120 || got.Codec.ClockRate != 1000000 {
				t.Errorf("got codec %+v", got.Codec)
			}
			if !slices.Equal(got.Size, []int{160, 120, 160, 120}) || len(got.Errors) > 0 || !got.Empty || got.Live != "live" {
				t.Errorf("got %v, errors %q, empty %t, track %s", got.Size, got.Errors, got.Empty, got.Live)
			}
			if !got.Sent[0].Key {
				t.Error("the first frame is no key frame")
			}
			for i, f := range got.Sent {
				if f.Key && f.Layer != 0 || i > 0 && f.Timestamp <= got.Sent[i-1].Timestamp {
					t.Errorf("frame %d: %+v", i, f)
				}
			}
			if last := got.Sent[len(got.Sent)-1]; got.Now-float64(last.Timestamp) > 5e6 || got.Now < float64(last.Timestamp) {
				t.Errorf("the last frame is of %d, and it is %.0f", last.Timestamp, got.Now)
			}
			if n := got.Sender.Layers; got.Sender.ScalabilityMode == "L1T3" && (n[0] == 0 || n[1] == 0 || n[2] < n[1]) {
				t.Errorf("layers: %v", n)
			}
			if (codec == "vp8" || codec == "vp9") && got.Sender.ScalabilityMode != "L1T3" {
				t.Errorf("%s is encoded as %s", codec, got.Sender.ScalabilityMode)
			}
			t.Logf("%+v\n%+v", got.Sender, got.Receiver)
		})
		t.Run("layers "+codec, func(t *testing.T) {
			var got struct {
				Rendered         map[string]int
				Sender, Receiver stats
				Errors           []string
			}
			open(t, b, address).test(&got, "layers", codec)
			if len(got.Errors) > 0 || got.Receiver.Errors > 0 {
				t.Errorf("errors: %q, %d of the decoder", got.Errors, got.Receiver.Errors)
			}
			if got.Sender.ScalabilityMode == "L1T3" && (got.Rendered["0"] < 4 || got.Rendered["1"] <= got.Rendered["0"] || got.Rendered["3"] <= got.Rendered["1"]) {
				t.Errorf("of 24 frames each, decoded with layers up to: %v", got.Rendered)
			}
			t.Log(got.Rendered)
		})
	}
	t.Run("fewer layers", func(t *testing.T) {
		var got struct{ Sender stats }
		open(t, b, address).test(&got, "picture", "vp8", "L1T1")
		if got.Sender.Layers[1]+got.Sender.Layers[2] > 0 {
			t.Errorf("layers: %v", got.Sender.Layers)
		}
	})
	t.Run("jitter", func(t *testing.T) {
		var got struct {
			Receiver stats
			Errors   []string
		}
		open(t, b, address).test(&got, "jitter")
		if r := got.Receiver; r.Delay > 400 || len(got.Errors) > 0 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("key frame", func(t *testing.T) {
		var got struct{ Before, After []frame }
		open(t, b, address).test(&got, "keyFrame")
		keys := 0
		for _, f := range got.After {
			if f.Key {
				keys++
			}
		}
		if !got.Before[0].Key || keys < 1 || keys > 2 { // one may have been due anyway
			t.Errorf("asked five times at once, got %d key frames: %+v", keys, got)
		}
	})
	t.Run("still", func(t *testing.T) {
		var got struct {
			Sent   []frame
			Errors []string
		}
		open(t, b, address).test(&got, "still")
		if len(got.Errors) > 0 {
			t.Error(got.Errors)
		}
	})
	t.Run("recovery", func(t *testing.T) {
		var got struct {
			Start, Lost, Asked int
			Receiver           stats
			Errors             []string
		}
		open(t, b, address).test(&got, "recovery")
		if got.Start < 1 || got.Lost <= got.Start || got.Asked < got.Lost || len(got.Errors) > 0 {
			t.Errorf("got %+v", got)
		}
		t.Logf("%+v", got)
	})
	t.Run("congestion", func(t *testing.T) {
		var got struct {
			Low, High     stats
			Receiver      stats
			Longest, Keys int
			Errors        []string
		}
		open(t, b, address).test(&got, "congestion")
		if got.Low.Dropped == 0 || got.Low.TargetFramerate >= 30 || got.High.TargetBitrate <= got.Low.TargetBitrate || got.Receiver.Errors > 0 || len(got.Errors) > 0 {
			t.Errorf("got %+v", got)
		}
		// Half a second of the first target: a key frame and what it took to notice.
		if got.Longest > 25_000 {
			t.Errorf("%d bytes waited", got.Longest)
		}
		t.Logf("%+v", got)
	})
	t.Run("pause", func(t *testing.T) {
		var got struct {
			During int
			First  frame
			Blank  bool
			Errors []string
		}
		open(t, b, address).test(&got, "pause")
		if got.During != 0 || !got.First.Key || !got.Blank || len(got.Errors) > 0 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("replace", func(t *testing.T) {
		var got struct {
			First  frame
			Grows  bool
			Errors []string
		}
		open(t, b, address).test(&got, "replace")
		if !got.First.Key || !got.Grows || len(got.Errors) > 0 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("stop", func(t *testing.T) {
		var got struct{ After int }
		open(t, b, address).test(&got, "stop")
		if got.After != 0 {
			t.Errorf("%d frames after the end", got.After)
		}
	})
	t.Run("without a processor", func(t *testing.T) {
		var got struct {
			Sent   []frame
			Errors []string
			Empty  bool
		}
		open(t, b, address+"/?without=MediaStreamTrackProcessor,MediaStreamTrackGenerator").test(&got, "picture", "vp8")
		if len(got.Errors) > 0 || !got.Sent[0].Key || !got.Empty {
			t.Errorf("got %+v", got)
		}
	})
}

// BenchmarkVideo sends and shows 640x360 at 25 frames per second in one page, and tells
// what a frame costs: ms from the encoder's input to its output, ms of the page's
// main thread, and ms of all of the browser's processors.
func BenchmarkVideo(b *testing.B) {
	for _, codec := range []string{"vp8", "vp9", "h264", "av1", "sent only", "none"} {
		b.Run(codec, func(b *testing.B) {
			const frames = 250
			p := open(b, browser(b, audible, chromedp.Flag("use-fake-device-for-media-stream", "fps=25")), serve(b))
			if _, err := chromedp.Call(p.ctx, performance.Enable, performance.EnableParams{}); err != nil {
				b.Fatal(err)
			}
			// "sent only" is vp8 that nobody sees, "none" the camera alone.
			p.test(nil, "costBegins", codec)
			for b.Loop() {
				page, all := p.spent()
				began := time.Now()
				var got struct{ Sender, Receiver stats }
				p.test(&got, "cost", frames)
				seconds := time.Since(began).Seconds()
				pageAfter, allAfter := p.spent()
				b.ReportMetric(got.Sender.EncodeMs, "encode-ms/frame")
				b.ReportMetric((pageAfter-page)*1000/frames, "page-ms/frame")
				b.ReportMetric((allAfter-all)*1000/frames, "cpu-ms/frame")
				b.ReportMetric((allAfter-all)*100/seconds, "%cpu")
				b.ReportMetric(got.Sender.Bitrate/1000, "kbit/s")
				b.ReportMetric(got.Receiver.FPS, "fps")
				b.ReportMetric(0, "ns/op")
			}
			p.test(nil, "costEnds")
		})
	}
}

// spent is the processor time in seconds of the page's main thread, and of the whole browser.
func (p *page) spent() (page, all float64) {
	p.t.Helper()
	metrics, err := chromedp.Call(p.ctx, performance.GetMetrics, cdp.Empty{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range metrics.Metrics {
		if m.Name == "TaskDuration" {
			page = m.Value
		}
	}
	processes, err := chromedp.CallBrowser(p.ctx, systeminfo.GetProcessInfo, cdp.Empty{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, process := range processes.ProcessInfo {
		all += process.CPUTime
	}
	return page, all
}
