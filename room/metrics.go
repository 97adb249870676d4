package room

import (
	"github.com/prometheus/client_golang/prometheus"
)

// dropReason is why a frame was not delivered.
type dropReason int

const (
	dropFull      dropReason = iota // too many lossy bytes were waiting
	dropStale                       // it waited for too long
	dropDependent                   // of no use without another one that was dropped
	dropOvertaken                   // a newer value of the same presence follows
	dropEnded                       // the subscription ended while it waited
	endOfDropReasons
)

var dropNames = [endOfDropReasons]string{"full", "stale", "dependent", "overtaken", "ended"}

type metrics struct {
	reg       prometheus.Registerer
	joins     *prometheus.CounterVec
	joined    prometheus.Counter // of joins
	refreshed prometheus.Counter // of refreshes
	leaves    *prometheus.CounterVec
	denials   *prometheus.CounterVec
	refreshes *prometheus.CounterVec
	resumes   *prometheus.CounterVec
	messages  [2]prometheus.Counter // data messages and track frames passed on
	drops     [endOfDropReasons]prometheus.Counter
	overflows prometheus.Counter
	overdue   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		reg: reg,
		joins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "usher_joins_total", Help: "Attempts to join a room, by outcome."}, []string{"outcome"}),
		leaves: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "usher_leaves_total", Help: "Participants that left, by reason."}, []string{"reason"}),
		denials: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "usher_denials_total", Help: "Requests that a permission did not allow, by permission."}, []string{"permission"}),
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "usher_token_refreshes_total", Help: "Refreshed tokens pushed, by outcome."}, []string{"outcome"}),
		resumes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "usher_resumes_total", Help: "Sessions resumed, by outcome."}, []string{"outcome"}),
	}
	routed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "usher_routed_total", Help: "Data messages and track frames accepted from participants."}, []string{"kind"})
	drops := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "usher_drops_total", Help: "Frames not delivered to a receiver, by reason."}, []string{"reason"})
	slow := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "usher_slow_receivers_total", Help: "Connections closed because the receiver did not keep up, by bound."}, []string{"bound"})
	if reg != nil {
		reg.MustRegister(m.joins, m.leaves, m.denials, m.refreshes, m.resumes, routed, drops, slow)
	}
	for _, o := range []string{"ok", "not_found", "full", "identity_taken", "revoked", "not_allowed", "invalid", "closed", "invalid_token", "token_expired",
		"waiting", "room_not_open", "room_expired", "time_over"} {
		m.joins.WithLabelValues(o)
	}
	for _, r := range []Reason{ClientInitiated, DuplicateIdentity, ServerShutdown, ParticipantRemoved, RoomDeleted, RoomClosed, ConnectionTimeout, Migration} {
		m.leaves.WithLabelValues(string(r))
	}
	for _, p := range deniable {
		m.denials.WithLabelValues(p)
	}
	for _, o := range []string{"ok", "failed"} {
		m.refreshes.WithLabelValues(o)
	}
	for _, o := range []string{"recovered", "snapshot", "refused"} {
		m.resumes.WithLabelValues(o)
	}
	m.joined, m.refreshed = m.joins.WithLabelValues("ok"), m.refreshes.WithLabelValues("ok")
	m.messages[0], m.messages[1] = routed.WithLabelValues("data"), routed.WithLabelValues("frame")
	for i := range m.drops {
		m.drops[i] = drops.WithLabelValues(dropNames[i])
	}
	m.overflows, m.overdue = slow.WithLabelValues("bytes"), slow.WithLabelValues("age")
	return m
}

// observe registers the gauges that read the live state.
func (m *metrics) observe(rs *Rooms) {
	if m.reg == nil {
		return
	}
	m.reg.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "usher_rooms", Help: "Rooms that live."}, func() float64 {
			rs.mu.Lock()
			defer rs.mu.Unlock()
			return float64(len(rs.rooms))
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "usher_participants", Help: "Participants in all rooms, those reconnecting included."}, func() float64 {
			n := 0
			rs.Each(func(*Participant) { n++ })
			return float64(n)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "usher_outbox_bytes", Help: "Bytes waiting to be written in all outboxes; what several wait for counts once."}, func() float64 {
			return float64(rs.WaitingBytes())
		}),
	)
}
