package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// An outcome is how it ended with an event.
type outcome int

const (
	delivered outcome = iota
	rejected          // the target does not want it
	expired           // it was not delivered in time
	overflow          // too much was waiting
	removed           // its target is gone
	tripped           // its target has failed too often
	endOfOutcomes
)

var outcomeNames = [endOfOutcomes]string{"delivered", "rejected", "expired", "overflow", "removed", "tripped"}

// A result is how one attempt ended.
type result int

const (
	resultOK       result = iota // 2xx
	resultRejected               // 3xx, 4xx
	resultBusy                   // 429, 5xx
	resultTimeout
	resultError // no answer
	endOfResults
)

var resultNames = [endOfResults]string{"ok", "rejected", "busy", "timeout", "error"}

type metrics struct {
	deliveries [endOfOutcomes]prometheus.Counter
	attempts   [endOfResults]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, s *Sender) *metrics {
	deliveries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "usher_webhook_deliveries_total", Help: "Webhook events done with, for each target they were for, by outcome."}, []string{"outcome"})
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "usher_webhook_attempts_total", Help: "Attempts to deliver webhook events, by outcome."}, []string{"outcome"})
	m := &metrics{}
	for i, name := range outcomeNames {
		m.deliveries[i] = deliveries.WithLabelValues(name)
	}
	for i, name := range resultNames {
		m.attempts[i] = attempts.WithLabelValues(name)
	}
	if reg != nil {
		reg.MustRegister(deliveries, attempts,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "usher_webhook_pending", Help: "Webhook events that wait to be written or delivered."}, func() float64 {
				n, _ := s.waiting()
				return float64(n)
			}),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "usher_webhook_oldest_pending_seconds", Help: "Age of the oldest webhook event that waits; 0 when none does."}, func() float64 {
				if _, oldest := s.waiting(); !oldest.IsZero() {
					return max(0, time.Since(oldest).Seconds())
				}
				return 0
			}),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "usher_webhook_failed", Help: "Webhooks that have failed too often and are told of nothing until they are changed."}, func() float64 {
				return float64(s.failed())
			}))
	}
	return m
}

// failed returns how many targets have failed.
func (s *Sender) failed() (n int) {
	for _, t := range s.targets.Load().all {
		t.mu.Lock()
		if t.health.Failed {
			n++
		}
		t.mu.Unlock()
	}
	return n
}

// waiting returns how many events wait, and from when the oldest is.
func (s *Sender) waiting() (n int, oldest time.Time) {
	n, oldest = s.intake.waiting()
	for _, t := range s.targets.Load().all {
		m, at := t.waiting()
		n += m
		if !at.IsZero() && (oldest.IsZero() || at.Before(oldest)) {
			oldest = at
		}
	}
	return n, oldest
}
