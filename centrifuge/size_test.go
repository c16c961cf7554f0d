package centrifuge

import (
	"testing"
	"unsafe"
)

// TestSizes: a node has a Client for each connection and a subscription for each
// of its channels. One byte more than the sizes in which Go allocates costs each
// of them up to 64.
func TestSizes(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("the sizes are those of 64 bits")
	}
	for _, test := range []struct {
		name      string
		is, limit uintptr
	}{
		{"Conn", unsafe.Sizeof(Conn{}), 512},
		{"subscription", unsafe.Sizeof(subscription{}), 112},
	} {
		if test.is > test.limit {
			t.Errorf("a %s has %d bytes; want at most %d", test.name, test.is, test.limit)
		}
	}
}
