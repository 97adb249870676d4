package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"usher/loadtest"
)

// A loadProgress shows how far a load test is: a bar on a terminal, elsewhere a
// line now and then.
type loadProgress struct {
	w    io.Writer
	runs int // in all

	mu     sync.Mutex // guards the following fields
	bar    *progressbar.ProgressBar
	run    int
	title  string
	phase  string
	said   time.Time
	closed bool
}

// sayEvery is how often a line is printed where there is no terminal.
const sayEvery = 10 * time.Second

// barSteps is how fine the bar is.
const barSteps = 1000

func newLoadProgress(w io.Writer, rounds, servers int) *loadProgress {
	p := &loadProgress{w: w, runs: rounds * servers, said: time.Now()}
	if isTerminal(w) {
		p.bar = progressbar.NewOptions(barSteps, progressbar.OptionSetWriter(w), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false))
	}
	return p
}

// round tells that the next run begins.
func (p *loadProgress) round(_ int, server string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run++
	p.title, p.phase = "loadtest", ""
	if p.runs > 1 {
		p.title = fmt.Sprintf("%s, run %d of %d", server, p.run, p.runs)
	}
	if p.bar == nil && p.runs > 1 {
		p.sayLocked("begins")
	}
}

func (p *loadProgress) progress(at loadtest.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	text := strings.TrimSpace(at.Phase + " " + at.Note)
	if p.bar == nil {
		if time.Since(p.said) > sayEvery {
			if at.Total > 0 {
				text = fmt.Sprintf("%s, %.0f%%", text, 100*at.Done/at.Total)
			}
			p.sayLocked(text)
		}
		return
	}
	if text != p.phase {
		p.phase = text
		p.bar.Reset()
		p.bar.Describe(p.title + ": " + text)
	}
	if at.Total > 0 {
		// Never full: a bar that is full is finished.
		_ = p.bar.Set(min(barSteps-1, int(barSteps*at.Done/at.Total)))
	}
}

func (p *loadProgress) sayLocked(text string) {
	p.said = time.Now()
	fmt.Fprintf(p.w, "usher: %s: %s\n", p.title, text)
}

// end takes the bar away.
func (p *loadProgress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
