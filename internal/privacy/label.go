package privacy

import (
	"bytes"
	"unicode/utf8"
)

const (
	maxLabelBytes  = 512 // the wire contract's limit of a string
	maxBucketBytes = 32  // a site id, the longest of our words
)

// NewLabel returns a shop's word (a product, a category, an offer id) with what looks personal replaced:
// the whole label becomes "[email]", "[number]" (an address, or a phone number with its leading +) or
// "[token]" (longer than any id). Unlike a path it keeps plain long numbers, because that is what ids of
// products are. Surrounding spaces go. What is not printable UTF-8 or has over 512 bytes gives an empty
// label, never a part.
func NewLabel(b []byte) Label { return (*Scratch)(nil).Label(b) }

// Label is NewLabel.
func (s *Scratch) Label(b []byte) Label {
	b, ok := labelText(b)
	if !ok {
		return Label{}
	}
	return s.label(b, maskWord(b))
}

// labelText is what of b may be a label, if nothing in it is personal.
func labelText(b []byte) (text []byte, ok bool) {
	b = bytes.TrimSpace(b)
	return b, len(b) <= maxLabelBytes && printable(b)
}

// label is of text, or of the mask that stands for it.
func (s *Scratch) label(text []byte, mask string) Label {
	if mask != "" {
		return Label{s: mask}
	}
	return Label{s: s.text(text)}
}

// maskWord is mask for words of the shop. Escapes are resolved only for the look, so that "100%25" stays
// what the shop wrote.
func maskWord(b []byte) string {
	if plain(b) {
		return ""
	}
	return lookWord(b)
}

// lookWord is maskWord without a short way.
func lookWord(b []byte) string {
	var stack [maxLabelBytes]byte
	d := decode(append(stack[:0], b...))
	switch {
	case !printable(d) || hasEscape(d):
		return maskToken
	case hasAt(d):
		return maskEmail
	case hasAddress(d) || hasPhone(d):
		return maskNumber
	}
	for run, rest := cutRun(d, isBase64URL); run != nil; run, rest = cutRun(rest, isBase64URL) {
		if isLongRun(run) {
			return maskToken
		}
	}
	return ""
}

// hasPhone finds an international phone number: a plus sign and longDigits digits with separators.
func hasPhone(b []byte) bool {
	for {
		i := bytes.IndexAny(b, "+＋")
		if i < 0 {
			return false
		}
		b = b[i+1:]
		for len(b) > 0 && !utf8.RuneStart(b[0]) {
			b = b[1:]
		}
		end := bytes.IndexFunc(b, func(r rune) bool { return !isDigit(r) && !isSeparator(r) })
		if end < 0 {
			end = len(b)
		}
		if hasLongNumber(b[:end]) {
			return true
		}
	}
}

// NewBucket returns a word that is configured or from a closed list (a site, an environment, a country, a
// browser family): letters, digits, and "-", "_" or a space between them, at most 32 bytes. It is not
// for text of a visitor. Anything else gives an empty bucket.
func NewBucket(s string) Bucket {
	if len(s) == 0 || len(s) > maxBucketBytes {
		return Bucket{}
	}
	for i := range len(s) {
		c := s[i]
		if !isWordByte(rune(c)) && c != '-' && c != '_' && (c != ' ' || i == 0) {
			return Bucket{}
		}
	}
	return Bucket{s: s}
}

// Currency returns a currency code in capitals when b has the shape of ISO 4217: three letters.
func Currency(b []byte) (Bucket, bool) { return (*Scratch)(nil).Currency(b) }

// Currency is the function of this name.
func (s *Scratch) Currency(b []byte) (Bucket, bool) {
	if len(b) != 3 {
		return Bucket{}, false
	}
	var code [3]byte
	for i, c := range b {
		code[i] = c &^ 0x20 // capitals differ from small letters by this bit
		if code[i] < 'A' || code[i] > 'Z' {
			return Bucket{}, false
		}
	}
	return Bucket{s: s.text(code[:])}, true
}
