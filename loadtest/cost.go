package loadtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// A usage is what a server has used up to a moment.
type usage struct {
	at         time.Time
	cpu        float64 // seconds
	rss        int64
	goroutines int64
	gcCount    int64
	gcPause    float64
	allocated  int64
	mallocs    int64
}

// A costMeter reads a server's usage: CPU and memory from /proc when its
// process is on this machine, and the rest from /metrics when it has them.
type costMeter struct {
	pid     int
	metrics string // address; "": none
	client  *http.Client
}

// source says where CPU and memory come from, or "".
func (m *costMeter) source() string {
	switch {
	case m.pid != 0:
		return "pid"
	case m.metrics != "":
		return "metrics"
	}
	return ""
}

// process reads CPU and memory only; with a pid that costs the server nothing.
func (m *costMeter) process() (usage, error) {
	if m.pid == 0 {
		return m.scrape()
	}
	return readProcess(m.pid)
}

// before reads all of it, CPU last: scraping is none of the load.
func (m *costMeter) before() (usage, error) {
	var u usage
	if m.metrics != "" {
		var err error
		if u, err = m.scrape(); err != nil {
			return u, err
		}
	}
	return m.withProcess(u)
}

// after reads all of it, CPU first.
func (m *costMeter) after() (usage, error) {
	p, err := m.process()
	if err != nil || m.pid == 0 || m.metrics == "" {
		return p, err
	}
	u, err := m.scrape()
	u.at, u.cpu, u.rss = p.at, p.cpu, p.rss
	return u, err
}

func (m *costMeter) withProcess(u usage) (usage, error) {
	if m.pid == 0 {
		return u, nil
	}
	p, err := readProcess(m.pid)
	u.at, u.cpu, u.rss = p.at, p.cpu, p.rss
	return u, err
}

// ticks is CLK_TCK, which Linux has fixed at 100 for user space.
const ticks = 100

// readProcess reads /proc/PID.
func readProcess(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, fmt.Errorf("reading what process %d uses: %w", pid, err)
	}
	u := usage{at: time.Now()}
	// The name, in parentheses, may have spaces in it.
	_, fields, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	all := strings.Fields(fields)
	if len(all) < 22 {
		return usage{}, errors.New("/proc/PID/stat has too few fields")
	}
	user, _ := strconv.ParseInt(all[11], 10, 64)
	system, _ := strconv.ParseInt(all[12], 10, 64)
	pages, _ := strconv.ParseInt(all[21], 10, 64)
	u.cpu = float64(user+system) / ticks
	if precise, ok := processCPU(pid); ok {
		u.cpu = precise
	}
	u.rss = pages * int64(os.Getpagesize())
	return u, nil
}

// machineCPU is what all processes of this machine have used so far, in
// seconds, stolen time included; 0 when it is not known.
func machineCPU() float64 {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	fields := strings.Fields(line)
	var used float64
	for i, field := range fields {
		// cpu user nice system idle iowait irq softirq steal; what follows is
		// within user and nice.
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, _ := strconv.ParseFloat(field, 64)
		used += n / ticks
	}
	return used
}

// scrape reads /metrics.
func (m *costMeter) scrape() (usage, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.metrics, nil)
	if err != nil {
		return usage{}, err
	}
	res, err := m.client.Do(req)
	if err != nil {
		return usage{}, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return usage{}, fmt.Errorf("%s answers %s", m.metrics, res.Status)
	}
	u := usage{at: time.Now()}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch name {
		case "process_cpu_seconds_total":
			u.cpu = v
		case "process_resident_memory_bytes":
			u.rss = int64(v)
		case "go_goroutines":
			u.goroutines = int64(v)
		case "go_gc_duration_seconds_count":
			u.gcCount = int64(v)
		case "go_gc_duration_seconds_sum":
			u.gcPause = v
		case "go_memstats_alloc_bytes_total":
			u.allocated = int64(v)
		case "go_memstats_mallocs_total":
			u.mallocs = int64(v)
		}
	}
	return u, lines.Err()
}
