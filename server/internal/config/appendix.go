package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// NotBuilt reports whether a key, given by its dotted path, belongs to a feature
// that this version lacks. A section or list counts when all that it holds does.
func (k Key) NotBuilt() bool {
	return unbuiltFeature(k.Path) != "" || unbuiltFeature(k.Path+".") != "" || unbuiltFeature(k.Path+"[].") != ""
}

// Refused reports whether the server does not start when a key, given by its dotted
// path, asks for a feature that this version lacks.
func (k Key) Refused() bool {
	return refusedKeys[generalPath(k.Path)] != ""
}

// split divides keys into those that this version uses, as a reader of the
// reference wants them, and those of features that it lacks.
func split(keys []Key) (used, lacking []Key) {
	for _, k := range keys {
		switch {
		case k.NotBuilt():
			lacking = append(lacking, k)
		case k.Type != "object" || !strings.Contains(k.Path, "."):
			used = append(used, k)
		}
	}
	return used, lacking
}

// writeAppendix lists the keys of features that this version lacks, one table per feature.
func writeAppendix(b *bytes.Buffer, keys []Key, heading string) {
	byFeature := map[string][]Key{}
	var features []string
	for _, k := range keys {
		if k.Type == "object" {
			continue
		}
		feature := unbuiltFeature(k.Path)
		if feature == "" {
			feature = unbuiltFeature(k.Path + "[].") // the list itself
		}
		if !slices.Contains(features, feature) {
			features = append(features, feature)
		}
		byFeature[feature] = append(byFeature[feature], k)
	}
	if len(features) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s Appendix: keys without effect in this version\n\n%s\n", heading, appendixIntroduction)
	for _, feature := range features {
		fmt.Fprintf(b, "\n%s# For %s\n\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n", heading, feature)
		for _, k := range byFeature[feature] {
			doc := k.Doc
			if k.Refused() {
				doc += " **Refused in this version.**"
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s |\n", code(k.Path), k.Type, code(k.Default), markdownCell(doc))
		}
	}
}

const appendixIntroduction = `These keys belong to features that are not built yet. They are recognised, so that a file made for
another version can be read; the server names those that are set when it starts. A key without which users would be
locked out, or let in on other terms than configured, is refused: the server does not start.`
