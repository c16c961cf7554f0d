// Package jsonscan checks, reads and writes JSON without reflection. A [Reader]
// decodes values of an expected shape in one pass and does not allocate for
// strings without escapes.
//
// It accepts what encoding/json accepts, except that values nest at most
// [MaxDepth] levels deep, and that a raw value must be valid UTF-8.
package jsonscan
