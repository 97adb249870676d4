package session

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"usher/session/wire"
)

type metrics struct {
	messages map[string]prometheus.Counter
	closes   map[wire.CloseCode]prometheus.Counter
	other    prometheus.Counter
	joins    prometheus.Histogram
	batches  prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, s *Server) *metrics {
	messages := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "usher_messages_total", Help: "Messages of clients, by kind."}, []string{"kind"})
	closes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "usher_closes_total", Help: "Connections that ended, by close code."}, []string{"code"})
	joins := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "usher_join_seconds", Help: "From the upgrade of a connection to the answer to its join or resume.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8)})
	batches := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "usher_batch_seconds", Help: "From reading the first message of a run to having written what the run left to be written.",
		Buckets: prometheus.ExponentialBuckets(0.00002, 4, 9)})
	if reg != nil {
		reg.MustRegister(messages, closes, joins, batches,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "usher_connections", Help: "Open connections."}, func() float64 {
				s.mu.Lock()
				defer s.mu.Unlock()
				return float64(len(s.sessions))
			}),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "usher_unjoined_connections", Help: "Connections that have not joined."}, func() float64 {
				return float64(s.unjoined.Load())
			}))
	}
	m := &metrics{messages: map[string]prometheus.Counter{}, closes: map[wire.CloseCode]prometheus.Counter{}, other: closes.WithLabelValues("other"),
		joins: joins, batches: batches}
	for _, k := range messageKinds(s.cfg.Dialects) {
		m.messages[k] = messages.WithLabelValues(k)
	}
	for _, c := range append(wire.CloseCodes(), 1006) {
		m.closes[c] = closes.WithLabelValues(strconv.Itoa(int(c)))
	}
	return m
}

func (m *metrics) message(kind string) { m.messages[kind].Inc() }

func (m *metrics) closed(code wire.CloseCode) {
	if c, ok := m.closes[code]; ok {
		c.Inc()
		return
	}
	m.other.Inc()
}
