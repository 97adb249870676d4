package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// newRegistry returns a registry with what concerns the process.
func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "usher_build_info",
		Help:        "Always 1; the version is in the label.",
		ConstLabels: prometheus.Labels{"version": version()},
	})
	build.Set(1)
	reg.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// timedWrites returns what goes around each transaction of the store: it counts
// and times them.
func timedWrites(reg prometheus.Registerer) func(write func() error) error {
	outcomes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "usher_store_writes_total", Help: "Transactions of the durable store, by outcome. Each holds all changes that waited."}, []string{"outcome"})
	seconds := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "usher_store_write_seconds", Help: "How long a transaction of the durable store took, syncs included.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 13)})
	reg.MustRegister(outcomes, seconds)
	ok, failed := outcomes.WithLabelValues("ok"), outcomes.WithLabelValues("failed")
	return func(write func() error) error {
		began := time.Now()
		err := write()
		seconds.Observe(time.Since(began).Seconds())
		if err != nil {
			failed.Inc()
		} else {
			ok.Inc()
		}
		return err
	}
}
