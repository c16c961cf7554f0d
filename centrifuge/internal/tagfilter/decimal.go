package tagfilter

import "strings"

// maxDecimal is the longest text taken for a number.
const maxDecimal = 128

// decimal is an exact number: 0.DIGITS times ten to the power of scale, where
// DIGITS are those of whole and fraction from the skip-th on, the first of them
// not zero. It refers to the text it was parsed from.
type decimal struct {
	valid           bool
	negative        bool
	zero            bool
	whole, fraction string
	skip            int
	scale           int
}

// parseDecimal reads [+-] digits [. digits], where one of the two groups of digits may
// be empty. Anything else is not valid, an exponent included.
func parseDecimal(s string) decimal {
	if len(s) > maxDecimal {
		return decimal{}
	}
	var d decimal
	d.negative, s = cutSign(s)
	d.whole, d.fraction, _ = strings.Cut(s, ".")
	if len(d.whole)+len(d.fraction) == 0 || !allDigits(d.whole) || !allDigits(d.fraction) {
		return decimal{}
	}
	d.valid = true
	for d.skip < len(d.whole)+len(d.fraction) && d.digit(0) == '0' {
		d.skip++
	}
	d.zero = d.skip == len(d.whole)+len(d.fraction)
	d.scale = len(d.whole) - d.skip
	return d
}

func cutSign(s string) (negative bool, rest string) {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		return s[0] == '-', s[1:]
	}
	return false, s
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// digit returns the i-th significant digit; zeros follow the last.
func (d *decimal) digit(i int) byte {
	i += d.skip
	if i < len(d.whole) {
		return d.whole[i]
	}
	if i -= len(d.whole); i < len(d.fraction) {
		return d.fraction[i]
	}
	return '0'
}

// sign is -1, 0 or 1.
func (d *decimal) sign() int {
	switch {
	case d.zero:
		return 0
	case d.negative:
		return -1
	}
	return 1
}

// compare is negative when d is less than other, zero when they are equal.
func (d *decimal) compare(other decimal) int {
	sign := d.sign()
	if sign != other.sign() || sign == 0 {
		return sign - other.sign()
	}
	if d.scale != other.scale {
		if d.scale < other.scale {
			return -sign
		}
		return sign
	}
	for i := range max(len(d.whole)+len(d.fraction), len(other.whole)+len(other.fraction)) {
		if a, b := d.digit(i), other.digit(i); a != b {
			return sign * (int(a) - int(b))
		}
	}
	return 0
}
