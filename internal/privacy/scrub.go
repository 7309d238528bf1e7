package privacy

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// The words that stand for what was taken out. They say what it was, so that a report stays readable.
const (
	maskEmail  = "[email]"
	maskNumber = "[number]"
	maskToken  = "[token]"
)

const (
	// longDigits is where a number stops being a size, a year or a price and may be a phone or a
	// customer. Dates written in one segment are long too and are taken for a birthday.
	longDigits = 7
	// maxDecodings: no honest client encodes twice; whoever hides something encodes more often.
	maxDecodings = 4

	minHexToken   = 16 // 64 bits in hex; MongoDB ids have 24, UUIDs 32
	minMixedToken = 16 // characters of a word that may be a session id or a signature
	minPlainToken = 20 // the same without any digit, which a word in CamelCase resembles
	maxWord       = 40 // characters that no word of a language needs
)

// mask returns the word to replace a segment of a path or a campaign value with, or "" when it may be
// kept. s is completely decoded.
func mask(s []byte) string {
	if plain(s) {
		return ""
	}
	return look(s)
}

// look is mask without a short way.
func look(s []byte) string {
	switch {
	case !printable(s) || hasEscape(s):
		return maskToken // nothing that a reader could use, and room to hide
	case hasAt(s):
		return maskEmail
	case hasLongNumber(s) || hasAddress(s):
		return maskNumber
	case hasToken(s):
		return maskToken
	}
	return ""
}

// plain knows most of what shops write without a closer look: nothing that the finders below look for can be
// in it. A word without figures and capitals is a token only by its length, a shorter one by nothing.
func plain(s []byte) bool {
	figures, dots, capitals := 0, 0, 0
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c == '-', c == '_', c == ' ':
		case c >= '0' && c <= '9':
			figures++
		case c == '.':
			dots++
		case c >= 'A' && c <= 'Z':
			capitals++
		default:
			return false
		}
	}
	switch {
	case figures >= longDigits || figures > 0 && dots > 0:
		return false
	case len(s) < min(minHexToken, minMixedToken, minPlainToken):
		return true
	}
	return figures == 0 && capitals == 0 && len(s) <= maxWord
}

// decode resolves percent escapes in b, in place, until none is left or the rounds are used up.
func decode(b []byte) []byte {
	for range maxDecodings {
		n := 0
		for i := 0; i < len(b); n++ {
			if c, ok := escapeAt(b, i); ok {
				b[n] = c
				i += 3
				continue
			}
			b[n] = b[i]
			i++
		}
		if n == len(b) {
			break
		}
		b = b[:n]
	}
	return b
}

// escapeAt reads "%41" at b[i].
func escapeAt(b []byte, i int) (byte, bool) {
	if b[i] != '%' || i+2 >= len(b) {
		return 0, false
	}
	hi, ok1 := hexDigit(b[i+1])
	lo, ok2 := hexDigit(b[i+2])
	return hi<<4 | lo, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func hasEscape(b []byte) bool {
	for i := range b {
		if _, ok := escapeAt(b, i); ok {
			return true
		}
	}
	return false
}

// printable is false for invalid UTF-8, control characters, and characters that print as nothing (they
// could split a number in two).
func printable(b []byte) bool {
	for i := 0; i < len(b); {
		if c := b[i]; c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 || !unicode.IsGraphic(r) && !isJoiner(r) {
			return false
		}
		i += n
	}
	return true
}

// isJoiner knows the two invisible characters that Persian, Indic scripts and emoji cannot do without.
// Between digits they count as separators.
func isJoiner(r rune) bool { return r == 0x200c || r == 0x200d }

// hasAt finds an at sign, also in the two forms that Unicode folds to it. A handle ("@name") names a
// person as well as an address does.
func hasAt(b []byte) bool {
	return bytes.IndexByte(b, '@') >= 0 || bytes.Contains(b, []byte("＠")) || bytes.Contains(b, []byte("﹫"))
}

// hasLongNumber finds longDigits digits of any script with nothing but the separators of phone numbers
// between them.
func hasLongNumber(b []byte) bool {
	digits := 0
	for i := 0; i < len(b); {
		r, n := rune(b[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(b[i:])
		}
		i += n
		switch {
		case isDigit(r):
			if digits++; digits >= longDigits {
				return true
			}
		case !isSeparator(r):
			digits = 0
		}
	}
	return false
}

func isDigit(r rune) bool {
	return r >= '0' && r <= '9' || r >= utf8.RuneSelf && unicode.IsNumber(r)
}

func isSeparator(r rune) bool {
	switch r {
	case ' ', '-', '.', '_', '(', ')', '+', '/', ',', ':', '~', '*', '\'':
		return true
	}
	return r >= utf8.RuneSelf && (unicode.In(r, unicode.Zs, unicode.Dash, unicode.Mn, unicode.Me) || isJoiner(r))
}

// hasAddress finds an IPv4 address (four groups of figures with dots between them), an IPv6 address or
// the address of a network card anywhere in b.
func hasAddress(b []byte) bool {
	for run, rest := cutRun(b, isAddressRune); run != nil; run, rest = cutRun(rest, isAddressRune) {
		if hasDottedQuad(run) || hasColonGroups(run) {
			return true
		}
	}
	return false
}

func isAddressRune(r rune) bool {
	return r == '.' || r == ':' || r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F'
}

func hasDottedQuad(b []byte) bool {
	dots, digits := 0, 0
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			if digits++; dots == 3 {
				return true
			}
		case c == '.' && digits > 0:
			dots++
			digits = 0
		default:
			dots, digits = 0, 0
		}
	}
	return false
}

// hasColonGroups finds hex groups with colons between them. A time of day has too few colons, "a::b" as a
// separator too few digits.
func hasColonGroups(b []byte) bool {
	colons := bytes.Count(b, colon)
	digits := len(b) - colons - bytes.Count(b, []byte("."))
	return digits >= 6 && (colons >= 4 || bytes.Contains(b, []byte("::")))
}

// hasToken finds what looks made by a machine: hex or a UUID, or a long word in which letters, digits
// and cases alternate as they do in base64 and rarely in a product's name. It is a guess: of 128 random
// bits in base64url it sees 97 in 100, in hex all.
func hasToken(b []byte) bool {
	if isHexToken(b) {
		return true
	}
	for run, rest := cutRun(b, isBase64URL); run != nil; run, rest = cutRun(rest, isBase64URL) {
		if isTokenRun(run) || isLongRun(run) {
			return true
		}
		for word, rest := cutRun(run, isWordByte); word != nil; word, rest = cutRun(rest, isWordByte) {
			if isTokenWord(word) {
				return true
			}
		}
	}
	return false
}

// cutRun returns the first part of b for all of whose characters in holds, and what follows it; nil without one.
func cutRun(b []byte, in func(rune) bool) (run, rest []byte) {
	start := bytes.IndexFunc(b, in)
	if start < 0 {
		return nil, nil
	}
	b = b[start:]
	end := bytes.IndexFunc(b, func(r rune) bool { return !in(r) })
	if end < 0 {
		end = len(b)
	}
	return b[:end], b[end:]
}

// isHexToken finds a run of minHexToken hex digits with at least one figure in it, dashes not counted.
func isHexToken(b []byte) bool {
	run, figures := 0, 0
	for _, c := range b {
		if c == '-' {
			continue
		}
		if _, ok := hexDigit(c); !ok {
			run, figures = 0, 0
			continue
		}
		run++
		if c <= '9' {
			figures++
		}
		if run >= minHexToken && figures >= 2 {
			return true
		}
	}
	return false
}

func isWordByte(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

func isBase64URL(r rune) bool { return isWordByte(r) || r == '-' || r == '_' }

// isTokenWord is for a run of letters and digits. Names have few changes ("iPhone15",
// "TheQuickBrownFox"), base64 of the same length has twice as many.
func isTokenWord(w []byte) bool {
	if len(w) > maxWord {
		return true
	}
	if len(w) < minMixedToken {
		return false
	}
	k := classes(w)
	if k.figures > 0 {
		return k.changes >= 4
	}
	return len(w) >= minPlainToken && k.changes >= 6
}

// isTokenRun is for words that dashes and underscores join, as they do in slugs and in base64url. Slugs
// do not mix small letters and capitals this often.
func isTokenRun(w []byte) bool {
	k := classes(w)
	return len(w) >= minMixedToken && k.capitals > 0 && k.small > 0 && k.changes >= 5 && k.changes*5 >= len(w)
}

// isLongRun finds what is longer than ids are and mixed as no slug is: a cookie, a signed token. UUIDs (36)
// and hex digests of 160 bits (40) are ids that shops do use.
func isLongRun(w []byte) bool {
	return len(w) > maxWord && classes(w).changes*8 >= len(w)
}

// counts is what a word is made of. A change is where a figure meets a letter, or a small letter is
// followed by a capital one.
type counts struct{ figures, capitals, small, changes int }

func classes(w []byte) (k counts) {
	var before *int
	for _, c := range w {
		var class *int
		switch {
		case c >= '0' && c <= '9':
			class = &k.figures
		case c >= 'A' && c <= 'Z':
			class = &k.capitals
		case c >= 'a' && c <= 'z':
			class = &k.small
		}
		if class != nil && before != nil && class != before && (before != &k.capitals || class != &k.small) {
			k.changes++
		}
		if class != nil {
			*class++
		}
		before = class
	}
	return k
}
