package secret

import "testing"

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		secret, text string
		want         bool
	}{
		{"k", "k", true}, {"a long key", "a long key", true},
		{"k", "", false}, {"k", "K", false}, {"k", "k ", false}, {"k", "kk", false},
		{"", "", false}, {"", "k", false},
	} {
		s := New(test.secret)
		if got := s.Matches(test.text); got != test.want {
			t.Errorf("New(%q).Matches(%q) = %v; want %v", test.secret, test.text, got, test.want)
		}
		if got, want := s.IsSet(), test.secret != ""; got != want {
			t.Errorf("New(%q).IsSet() = %v; want %v", test.secret, got, want)
		}
	}
	if (Secret{}).IsSet() || (Secret{}).Matches("") {
		t.Error("the zero value is set, or matches nothing; want neither")
	}
}
