package centrifuge

import (
	"strconv"
	"strings"
	"testing"
)

func TestSoftwareTable(t *testing.T) {
	table := newSoftwareTable([]string{"mine"})
	for _, tt := range []struct {
		name, version string
		want          Software
	}{
		{"js", "5.3.0", Software{"js", "5.3.0"}},
		{"mine", "1.0-rc.1+x", Software{"mine", "1.0-rc.1+x"}},
		{"", "", Software{unnamed, unversioned}},
		{"js", "", Software{"js", unversioned}},
		{"", "1.0", Software{unnamed, "1.0"}},
		{"other", "1.0", Software{unregistered, unregistered}},
		{"js", "v1", Software{"js", unregistered}},
		{"js", "1\n", Software{"js", unregistered}},
		{"js", strings.Repeat("1", 33), Software{"js", unregistered}},
	} {
		if got := table.label(tt.name, tt.version); got != tt.want {
			t.Errorf("%q %q: got %v, want %v", tt.name, tt.version, got, tt.want)
		}
	}
	apart := make(map[Software]bool)
	for n := range 10 * maxVersions {
		apart[table.label("go", strconv.Itoa(n))] = true
	}
	if want := maxVersions + 1; len(apart) != want { // and the others together
		t.Errorf("%d versions told apart, want %d", len(apart), want)
	}
	if got := table.label("go", "0"); got != (Software{"go", "0"}) {
		t.Errorf("a version that was admitted is %v later; want it unchanged", got)
	}
}
