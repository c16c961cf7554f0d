// Package archtest tests the rules of the repository that a program can check: which
// package may import which, how long functions and files may be, that every package
// has a comment, and which words texts do not use.
package archtest
