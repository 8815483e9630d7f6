package dashboard

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func (p Panel) overlaps(o Panel) bool {
	a, b := p.GridPos, o.GridPos
	return a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H
}

func TestDashboardIsOne(t *testing.T) {
	t.Parallel()
	d := Read(t)
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

var variableIn = regexp.MustCompile(`\$\{?(\w+)`)

// Each query asks for metrics that a test compares with what is exported, and for variables that
// there are.
func TestQueries(t *testing.T) {
	t.Parallel()
	compared := []string{
		"libp2p_simopen_",                                                                 // in package transport
		"libp2p_relaysvc_", "libp2p_rcmgr_", "libp2p_swarm_", "simopen_stun_", "process_", // in examples/internal/rendezvous
	}
	d := Read(t)
	variables := []string{"__rate_interval", "__range"}
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			names := Metrics(q.Expr)
			if len(names) == 0 {
				t.Errorf("%s/%s asks for no metric of ours: %s", p.Title, q.RefID, q.Expr)
			}
			for _, name := range names {
				if !slices.ContainsFunc(compared, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
					t.Errorf("%s/%s asks for %s, which no test compares", p.Title, q.RefID, name)
				}
			}
			for _, v := range variableIn.FindAllStringSubmatch(q.Expr, -1) {
				if !slices.Contains(variables, v[1]) {
					t.Errorf("%s/%s: there is no variable %s", p.Title, q.RefID, v[1])
				}
			}
		}
	}
}
