package apptest

import "go.uber.org/goleak"

// Linked tells a check for leaked goroutines of those that libraries start with the program:
// one of the statistics in the library of Google Pub/Sub.
func Linked() goleak.Option {
	return goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start")
}
