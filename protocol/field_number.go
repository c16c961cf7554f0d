package protocol

import "google.golang.org/protobuf/encoding/protowire"

// numbersOf inverts kinds.
func numbersOf(kinds *kindsByNumber) (numbers [NumMessageKinds]protowire.Number) {
	for number, kind := range kinds {
		if kind != KindUnknown {
			numbers[kind] = protowire.Number(number)
		}
	}
	return numbers
}

// kindOfNumber returns KindUnknown for a number without a kind.
func kindOfNumber(kinds *kindsByNumber, num protowire.Number) MessageKind {
	if num >= protowire.Number(len(kinds)) {
		return KindUnknown
	}
	return kinds[num]
}
