// Package consumer reads commands of the server API from queues and streams
// (server.md 11). It has what all types of sources share: decoding messages, calling the
// methods of package api, repeating calls that failed on the side of this server,
// restarting sources, and counting. The packages below it read one type of source each.
//
// Delivery is at least once: a source acknowledges a message after Process has returned
// nil. A message that can never succeed is logged, counted and acknowledged.
package consumer
