package transport

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// dashboard is what a test has to know of Grafana's dashboard model.
type dashboard struct {
	UID           string
	Title         string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Definition string }
	}
	Panels []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct {
		Defaults struct{ Unit string }
	}
	Targets []struct{ RefID, Expr, LegendFormat string }
}

func (p panel) overlaps(o panel) bool {
	a, b := p.GridPos, o.GridPos
	return a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	b, err := os.ReadFile("../docs/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDashboardIsOne(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" || d.SchemaVersion == 0 || len(d.Panels) == 0 {
		t.Fatalf("uid %q, title %q, schema version %d, %d panels", d.UID, d.Title, d.SchemaVersion, len(d.Panels))
	}
	for i, p := range d.Panels {
		if p.Title == "" || p.Description == "" || p.Type == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d, %q, lacks one of title, description, type, unit and targets", p.ID, p.Title)
		}
		if g := p.GridPos; g.X < 0 || g.Y < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			t.Errorf("panel %q is not on the grid: %+v", p.Title, g)
		}
		for _, o := range d.Panels[:i] {
			if o.ID == p.ID || o.Title == p.Title {
				t.Errorf("panels %q and %q have the same id or title", o.Title, p.Title)
			}
			if o.overlaps(p) {
				t.Errorf("panels %q and %q overlap", o.Title, p.Title)
			}
		}
		refs := make(map[string]bool)
		for _, q := range p.Targets {
			if q.Expr == "" || q.LegendFormat == "" || refs[q.RefID] {
				t.Errorf("panel %q, target %q: no query, no legend, or twice", p.Title, q.RefID)
			}
			refs[q.RefID] = true
		}
	}
}

var (
	metricIn   = regexp.MustCompile(`(libp2p_simopen_[a-z_]+)(?:\{([^}]*)\})?`)
	matcherIn  = regexp.MustCompile(`(\w+)\s*(?:=|!=|=~|!~)\s*"([^"]*)"`)
	groupingIn = regexp.MustCompile(`by \(([^)]*)\)`)
	labelIn    = regexp.MustCompile(`\{\{(\w+)\}\}`)
	variableIn = regexp.MustCompile(`\$\{?(\w+)`)
)

// The dashboard asks for metrics, labels and values that there are, and shows every metric.
func TestDashboardShowsTheMetrics(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	series := seriesLabels(t)
	shown := make(map[string]bool)
	checkMetrics := func(where, expr string) (labels map[string][]string) {
		for _, m := range metricIn.FindAllStringSubmatch(expr, -1) {
			labels = series[m[1]]
			if labels == nil {
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
		if labels == nil {
			t.Errorf("%s asks for no metric of ours: %s", where, expr)
		}
		return labels
	}
	variables := []string{"__rate_interval", "__range"}
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		if v.Definition != "" {
			checkMetrics("variable "+v.Name, v.Definition)
		}
	}
	clear(shown)
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			where := p.Title + "/" + q.RefID
			labels := checkMetrics(where, q.Expr)
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
			for _, v := range variableIn.FindAllStringSubmatch(q.Expr, -1) {
				if !slices.Contains(variables, v[1]) {
					t.Errorf("%s: there is no variable %s", where, v[1])
				}
			}
		}
	}
	for name := range series {
		histogram, isPart := strings.CutSuffix(name, "_sum")
		if !isPart {
			histogram, isPart = strings.CutSuffix(name, "_count")
		}
		if !shown[name] && !(isPart && shown[histogram+"_bucket"]) {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// seriesLabels has the labels of each series that Prometheus stores, and the values they can have.
func seriesLabels(t *testing.T) map[string]map[string][]string {
	t.Helper()
	reg := prometheus.NewRegistry()
	newMetrics(reg)
	families, err := reg.Gather()
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
