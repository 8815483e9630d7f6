package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// TestJSON runs two scenarios.
func TestJSON(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	exe := program.Self(t)
	r := program.Run(t, exec.Command(exe, "-json", "-only", "clean,near", "-runs", "1"))
	if r.Status != 0 || r.Stderr != "" {
		t.Fatalf("status %d, stderr %q", r.Status, r.Stderr)
	}
	const order = `^\{"scenario":"\w+","a":"[\w-]+","b":"[\w-]+","impl":"[\w-]+","run":1,"ok":(true,"ms":[\d.]+,"listener_ms":[\d.]+|false,"ms":[\d.]+,"reason":".+")\}$`
	want := []string{"clean simopen", "clean dcutr", "clean dcutr-quic", "near simopen", "near dcutr"}
	var summary summaryLine
	lines := bufio.NewScanner(strings.NewReader(r.Stdout))
	n := 0
	for ; lines.Scan(); n++ {
		if n == len(want) {
			if err := json.Unmarshal(lines.Bytes(), &summary); err != nil {
				t.Errorf("%s: %v", lines.Text(), err)
			}
			continue
		}
		var run result.Run
		if err := json.Unmarshal(lines.Bytes(), &run); err != nil || !regexp.MustCompile(order).MatchString(lines.Text()) {
			t.Fatalf("%s is no run: %v", lines.Text(), err)
		}
		got := run.Scenario + " " + string(run.Impl)
		if got != want[n] || run.Millis <= 0 || run.Impl == result.Simopen && !run.OK {
			t.Errorf("got %+v, want one of %s", run, want[n])
		}
	}
	if n != len(want)+1 {
		t.Errorf("%d lines, want %d", n, len(want)+1)
	}
	s := summary.Summary
	if s.CleanRatio != nil || s.QUICCleanRatio != nil || s.RSTAsymRatio != nil || s.Population.Simopen != nil {
		t.Errorf("got %s, want no ratio of one run, and nothing of what was not run", r.Stdout)
	}
	if s.Verdict != "There are too few runs to compare times, which takes three of each." || s.Runs != (result.Runs{Clean: 1, QUICClean: 1}) {
		t.Errorf("verdict %q of %+v", s.Verdict, s.Runs)
	}
	if a := summary.About; a.Command != "compare -json -only clean,near -runs 1" || a.Seed != 1 || a.Versions == "" {
		t.Errorf("about %+v", a)
	}
}

// TestText: what a person sees, in the terminal and on the page.
func TestText(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	exe := program.Self(t)
	file := filepath.Join(t.TempDir(), "compare.html")
	r := program.Run(t, exec.Command(exe, "-only", "near", "-runs", "1", "-html", file))
	if r.Status != 0 || r.Stderr != "" {
		t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
	}
	for _, want := range []string{"\nruns      2, for about ", "\nverdict   There are too few runs", "\nnear: ", " 1/1 ", "\ntook "} {
		if !strings.Contains("\n"+r.Stdout, want) {
			t.Errorf("%q has no %q", r.Stdout, want)
		}
	}
	html, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(html), "<figure"); n == 0 {
		t.Errorf("no figure on the page, %d bytes", len(html))
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	exe := program.Self(t)
	program.WantUsage(t, exe,
		[]string{"extra"},
		[]string{"-only", "dirty"},
		[]string{"-only", ""},
		[]string{"-runs", "-1"},
		[]string{"-seed", "x"},
	)
}
