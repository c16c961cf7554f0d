//go:build race

package apihttp

const raceEnabled = true
