// Package archtest holds the rules of the architecture as tests: who may import
// whom, how long a function and a file may be, that packages say what they are.
package archtest
