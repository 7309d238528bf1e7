package demoshop

import (
	"fmt"
	"strconv"
)

// currency is the only one this shop sells in.
const currency = "EUR"

// vatPercent is contained in every price, as German law wants prices shown.
const vatPercent = 19

// Money is a sum in euro cents. Integers, because a shop adds up.
type Money int64

// String is for people: "€1,180.00".
func (m Money) String() string {
	sign := ""
	if m < 0 {
		sign, m = "−", -m
	}
	whole := strconv.FormatInt(int64(m)/100, 10)
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return fmt.Sprintf("%s€%s.%02d", sign, whole, int64(m)%100)
}

// MarshalJSON is for the wire: the number 1180.00.
func (m Money) MarshalJSON() ([]byte, error) {
	sign := ""
	if m < 0 {
		sign, m = "-", -m
	}
	return fmt.Appendf(nil, "%s%d.%02d", sign, int64(m)/100, int64(m)%100), nil
}

// part returns m*of/whole, rounded half up to the cent. m is not negative.
func (m Money) part(of, whole int64) Money {
	return Money((int64(m)*of + whole/2) / whole)
}

// vat returns the tax that a gross sum contains.
func (m Money) vat() Money { return m.part(vatPercent, 100+vatPercent) }
