package loadtest

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

const tableWidth = 96

// WriteTable writes r for people in a terminal, at most about 96 columns wide.
// Whether everything arrived comes first. What was not measured is not shown,
// and no percentile that has too few samples to stand on.
func WriteTable(w io.Writer, r Result) error {
	var t textTable
	t.head(r)
	t.line("")
	text, _ := correctness(r)
	t.paragraph(text + " " + errorSentence(r))
	for _, f := range findings(r) {
		t.paragraph(f)
	}
	t.counts(r)
	t.errors(r)
	t.latencies(r)
	t.cost(r)
	t.ratios(r)
	t.generator(r)
	_, err := w.Write(t.Bytes())
	return err
}

// A textTable collects lines. What comes from outside goes through clean, and
// the spaces that hold a figure and its unit together become ordinary ones.
type textTable struct{ bytes.Buffer }

func (t *textTable) line(s string) {
	t.WriteString(strings.TrimRight(plain(s), " "))
	t.WriteByte('\n')
}

// paragraph wraps text between words.
func (t *textTable) paragraph(text string) {
	line, width := "", 0
	for word := range strings.FieldsSeq(protect(clean(text))) {
		n := utf8.RuneCountInString(word)
		if line != "" && width+1+n > tableWidth {
			t.line(line)
			line, width = "", 0
		}
		if line == "" {
			line, width = word, n
			continue
		}
		line, width = line+" "+word, width+1+n
	}
	if line != "" {
		t.line(line)
	}
}

// columns writes rows with the first column to the left and the others to the right.
func (t *textTable) columns(rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, c := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if i == 0 {
				b.WriteString(c + pad)
			} else {
				b.WriteString("   " + pad + c)
			}
		}
		t.line(b.String())
	}
}

func (t *textTable) head(r Result) {
	var parts []string
	for _, s := range []string{clean(r.Scenario), clean(r.Server), clean(r.URL)} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if finite(r.Seconds) && r.Seconds > 0 {
		parts = append(parts, "measured for "+inSeconds(r.Seconds))
	}
	t.line(strings.Join(parts, ", "))
	if len(r.Settings) > 0 {
		t.paragraph(settingsLine(r.Settings))
	}
}

func (t *textTable) counts(r Result) {
	rows := [][]string{{"counts", "total", "per second"}}
	if len(r.Rates) == 0 {
		rows[0] = rows[0][:2]
	}
	for _, name := range countNames(r) {
		row := []string{"  " + clean(name), "", ""}
		if n, ok := r.Counts[name]; ok {
			row[1] = grouped(n)
		}
		if v, ok := r.Rates[name]; ok && finite(v) {
			row[2] = figure(v)
		}
		rows = append(rows, row)
	}
	if len(rows) > 1 {
		t.line("")
		t.columns(rows)
	}
}

func (t *textTable) errors(r Result) {
	if len(r.Errors) == 0 {
		return
	}
	rows := [][]string{{"errors", "total"}}
	for _, kind := range errorKinds(r) {
		rows = append(rows, []string{"  " + clean(kind), grouped(r.Errors[kind])})
	}
	t.line("")
	t.columns(rows)
}

func (t *textTable) latencies(r Result) {
	rows := [][]string{{"latency", "samples", "p50", "p90", "p99", "p99.9", "max"}}
	for _, l := range r.Latencies {
		if l.Count <= 0 {
			continue
		}
		row := []string{"  " + clean(l.Name), grouped(l.Count)}
		for _, q := range quantiles {
			row = append(row, cmp.Or(quantile(l, q), "-"))
		}
		rows = append(rows, append(row, millis(l.Max)))
	}
	if len(rows) > 1 {
		t.line("")
		t.columns(rows)
	}
}

func (t *textTable) cost(r Result) {
	if r.Cost == nil {
		return
	}
	t.line("")
	t.line("server" + source(*r.Cost))
	for _, f := range costLines(*r.Cost, r.Seconds) {
		t.line(fmt.Sprintf("  %-12s %s", f[0], f[1]))
	}
}

func (t *textTable) ratios(r Result) {
	var to, figures []string
	for _, ratio := range r.Ratios {
		if !shown(ratio) {
			continue
		}
		if !slices.Contains(to, ratio.To) {
			to = append(to, ratio.To)
		}
		if !slices.Contains(figures, ratio.Figure) {
			figures = append(figures, ratio.Figure)
		}
	}
	if len(to) == 0 {
		return
	}
	rows := [][]string{{"against, below 1 is better"}}
	for _, f := range figures {
		rows[0] = append(rows[0], clean(f))
	}
	for _, yardstick := range to {
		row := []string{"  " + clean(yardstick)}
		if faults := faultsOf(r.Ratios, yardstick); faults != "" {
			row[0] += " (" + clean(faults) + ")"
		}
		for _, f := range figures {
			row = append(row, cmp.Or(ratioText(ratioOf(r.Ratios, yardstick, f)), "-"))
		}
		rows = append(rows, row)
	}
	t.line("")
	t.columns(rows)
	for _, yardstick := range to {
		if faultsOf(r.Ratios, yardstick) != "" {
			t.line("A yardstick that did not deliver all had less to do: its figures flatter it.")
			break
		}
	}
}

func (t *textTable) generator(r Result) {
	if s := generatorSentence(r.Generator); s != "" {
		t.line("")
		t.paragraph(s)
	}
}
