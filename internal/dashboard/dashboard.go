// Package dashboard checks docs/grafana.json in tests: that it is a dashboard, and that what it
// asks for is what programs export.
package dashboard

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// A Dashboard is what a test has to know of Grafana's dashboard model.
type Dashboard struct {
	UID           string
	Title         string
	SchemaVersion int
	Templating    struct {
		List []Variable
	}
	Panels []Panel
}

// A Variable is one of a dashboard's.
type Variable struct{ Name, Definition string }

// A Panel is a diagram or a number.
type Panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct {
		Defaults struct{ Unit string }
	}
	Targets []struct{ RefID, Expr, LegendFormat string }
}

// Read reads docs/grafana.json.
func Read(t *testing.T) (d Dashboard) {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	b, err := os.ReadFile(filepath.Join(filepath.Dir(here), "../../docs/grafana.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

var (
	metricIn   = regexp.MustCompile(`\b((?:libp2p|simopen|process)_[a-z_]+)(?:\{([^}]*)\})?`)
	matcherIn  = regexp.MustCompile(`(\w+)\s*(?:=|!=|=~|!~)\s*"([^"]*)"`)
	groupingIn = regexp.MustCompile(`by \(([^)]*)\)`)
	labelIn    = regexp.MustCompile(`\{\{(\w+)\}\}`)
)

// Metrics returns the names of the metrics in a query.
func Metrics(expr string) (names []string) {
	for _, m := range metricIn.FindAllStringSubmatch(expr, -1) {
		names = append(names, m[1])
	}
	return names
}

// Check checks that the metrics which the dashboard asks for, of those whose names have the prefix,
// are exported, with these labels and values. It returns those that no panel shows.
func (d Dashboard) Check(t *testing.T, exported prometheus.Gatherer, prefix string) (missing []string) {
	t.Helper()
	series := seriesLabels(t, exported)
	shown := make(map[string]bool)
	for _, v := range d.Templating.List {
		checkQuery(t, "variable "+v.Name, v.Definition, prefix, series, shown)
	}
	clear(shown)
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			where := p.Title + "/" + q.RefID
			labels := checkQuery(t, where, q.Expr, prefix, series, shown)
			if labels == nil {
				continue // it asks for others
			}
			var grouped []string
			for _, by := range groupingIn.FindAllStringSubmatch(q.Expr, -1) {
				grouped = append(grouped, strings.Split(by[1], ", ")...)
			}
			for _, name := range grouped {
				if _, ok := labels[name]; !ok {
					t.Errorf("%s: the metric has no label %s to group by", where, name)
				}
			}
			for _, l := range labelIn.FindAllStringSubmatch(q.LegendFormat, -1) {
				if !slices.Contains(grouped, l[1]) {
					t.Errorf("%s: no label %s is left for the legend", where, l[1])
				}
			}
		}
	}
	for name := range series {
		histogram, isPart := strings.CutSuffix(name, "_sum")
		if !isPart {
			histogram, isPart = strings.CutSuffix(name, "_count")
		}
		if strings.HasPrefix(name, prefix) && !shown[name] && !(isPart && shown[histogram+"_bucket"]) {
			missing = append(missing, name)
		}
	}
	return missing
}

// checkQuery checks a query's metrics with the prefix, adds them to shown, and returns the labels
// of the last one.
func checkQuery(t *testing.T, where, expr, prefix string, series map[string]map[string][]string, shown map[string]bool) (labels map[string][]string) {
	t.Helper()
	for _, m := range metricIn.FindAllStringSubmatch(expr, -1) {
		if !strings.HasPrefix(m[1], prefix) {
			continue
		}
		if labels = series[m[1]]; labels == nil {
			t.Errorf("%s: there is no metric %s", where, m[1])
			continue
		}
		shown[m[1]] = true
		for _, l := range matcherIn.FindAllStringSubmatch(m[2], -1) {
			name, value := l[1], l[2]
			values, ok := labels[name]
			if !ok {
				t.Errorf("%s: %s has no label %s", where, m[1], name)
			}
			for v := range strings.SplitSeq(value, "|") {
				if v != "$instance" && !slices.Contains(values, v) {
					t.Errorf("%s: label %s of %s is never %q", where, name, m[1], v)
				}
			}
		}
	}
	return labels
}

// seriesLabels has the labels of each series that Prometheus stores, and the values they have.
func seriesLabels(t *testing.T, exported prometheus.Gatherer) map[string]map[string][]string {
	t.Helper()
	families, err := exported.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]map[string][]string)
	for _, f := range families {
		labels := map[string][]string{"instance": nil} // which Prometheus adds
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = append(labels[l.GetName()], l.GetValue())
			}
		}
		if f.GetMetric()[0].GetHistogram() == nil {
			all[f.GetName()] = labels
			continue
		}
		all[f.GetName()+"_sum"], all[f.GetName()+"_count"] = labels, labels
		buckets := maps.Clone(labels)
		buckets["le"] = nil
		all[f.GetName()+"_bucket"] = buckets
	}
	return all
}
