// Package consumertest tests sources of package consumer: with a real consumer inside the
// test, and with consumers in processes of their own that are killed.
package consumertest
