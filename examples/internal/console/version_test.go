package console

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	build := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef0123"}
	modified := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for want, info := range map[string]*debug.BuildInfo{
		"relay v1.2.3 (go":                        build("v1.2.3", commit),
		"relay (devel) (go":                       build("(devel)"),
		"relay commit 0123456789ab (go":           build("(devel)", commit),
		"relay commit 0123456789ab, modified (go": build("(devel)", commit, modified),
		"relay (unknown) (go":                     nil,
	} {
		if got := version("relay", info); !strings.HasPrefix(got, want) || strings.Contains(got, "\n") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
