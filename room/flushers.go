package room

import (
	"sync"
	"sync/atomic"
)

// A fanout is what a Flush has handed to the flushers.
type fanout struct {
	left atomic.Int32 // chunks not written yet
	done chan struct{}
}

func (f *fanout) wait(b *Batch) {
	select {
	case <-f.done:
	default:
		b.willWait()
		<-f.done
	}
}

// chunk is a part of a large fan-out.
type chunk struct {
	boxes []*outbox
	of    *fanout
}

// flush writes the chunk.
func (c chunk) flush(s *scratch) {
	for _, o := range c.boxes {
		if o != nil {
			o.flush(s)
		}
	}
	if c.of.left.Add(-1) == 0 {
		close(c.of.done)
	}
}

// flushers are the fixed goroutines that write large fan-outs.
type flushers struct {
	work chan chunk    // never closed
	stop chan struct{} // closed to end them
	done sync.WaitGroup
}

// start starts n flushers. They end when stop is closed.
func (f *flushers) start(n int) {
	f.work = make(chan chunk, 4*n)
	f.stop = make(chan struct{})
	for range n {
		f.done.Go(func() {
			var s scratch
			for {
				select {
				case c := <-f.work:
					c.flush(&s)
				case <-f.stop:
					return
				}
			}
		})
	}
}

// end stops the flushers and writes what they had not begun.
func (f *flushers) end() {
	close(f.stop)
	f.done.Wait()
	var s scratch
	f.finish(&s)
}

// finish does the work that the flushers have left.
func (f *flushers) finish(s *scratch) {
	for {
		select {
		case c := <-f.work:
			c.flush(s)
		default:
			return
		}
	}
}

// give hands a chunk to the flushers. Once they have ended the caller does the work.
func (f *flushers) give(b *Batch, c chunk, s *scratch) {
	select {
	case f.work <- c:
	default:
		b.willWait()
		select {
		case f.work <- c:
		case <-f.stop:
			c.flush(s)
			return
		}
	}
	select {
	case <-f.stop:
		f.finish(s) // perhaps nobody else looks any more
	default:
	}
}
