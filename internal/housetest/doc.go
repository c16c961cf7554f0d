// Package housetest holds the rules of the house as tests: who may import
// whom, how long a function and a file may be, that packages say what they are.
package housetest
