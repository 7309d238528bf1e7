package event

// Money is Decimal(18,4) (docs/design.md): an int64 of ten-thousandths.
const (
	AmountScale = 10_000
	RateScale   = 100_000_000 // Decimal(18,8)

	maxAmountUnits = 99_999_999_999_999 * AmountScale // fourteen digits before the point
)

// Amount is money, or nothing when the sender said nothing.
type Amount struct {
	Units int64 // ten-thousandths
	Set   bool
}

// ParseAmount reads a non-negative decimal number as JSON spells it ("12", "12.5", "1.25e1").
// It never goes through a float, so 0.1 stays 0.1. Digits beyond the fourth after the point are
// rounded half up. ok is false for anything else: a sign, too many digits, other text.
func ParseAmount(s []byte) (a Amount, ok bool) {
	var mantissa int64
	digits, exp, i := 0, 0, 0
	seenPoint, seenDigit := false, false
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			seenDigit = true
			if digits == 0 && c == '0' {
				if seenPoint {
					exp--
				}
				continue
			}
			if digits < 18 {
				mantissa = mantissa*10 + int64(c-'0')
				digits++
				if seenPoint {
					exp--
				}
			} else if !seenPoint {
				return Amount{}, false
			}
			continue
		case c == '.' && !seenPoint && seenDigit:
			seenPoint = true
			continue
		}
		break
	}
	if !seenDigit || s[i-1] == '.' {
		return Amount{}, false
	}
	if i < len(s) {
		e, ok := parseExponent(s[i:])
		if !ok {
			return Amount{}, false
		}
		exp += e
	}
	for exp += 4; exp > 0 && mantissa != 0; exp-- {
		if mantissa > maxAmountUnits/10 {
			return Amount{}, false
		}
		mantissa *= 10
	}
	for ; exp < -1 && mantissa != 0; exp++ {
		mantissa /= 10
	}
	if exp == -1 {
		mantissa = (mantissa + 5) / 10
	}
	if mantissa > maxAmountUnits {
		return Amount{}, false
	}
	return Amount{Units: mantissa, Set: true}, true
}

// parseExponent reads "e5", "E+5" or "e-5"; exponents beyond two digits are no money.
func parseExponent(s []byte) (int, bool) {
	if s[0] != 'e' && s[0] != 'E' {
		return 0, false
	}
	s = s[1:]
	sign := 1
	if len(s) > 0 && (s[0] == '+' || s[0] == '-') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	if len(s) == 0 || len(s) > 2 {
		return 0, false
	}
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return sign * n, true
}
