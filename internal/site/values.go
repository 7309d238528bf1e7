package site

import (
	"encoding/hex"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"beckon/internal/event"
	"beckon/internal/privacy"

	"github.com/goccy/go-yaml/ast"
)

// day is what `d` means in a duration: always 24 hours, also when the clocks change.
const day = 24 * time.Hour

var (
	idShape       = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	durationShape = regexp.MustCompile(`^(?:(\d{1,5})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?$`)
	rateShape     = regexp.MustCompile(`^(\d{1,9})(?:\.(\d{1,8}))?$`)
	shareShape    = regexp.MustCompile(`^(\d{1,3}(?:\.\d{1,4})?)%$`)
	currencyShape = regexp.MustCompile(`^[A-Z]{3}$`)
	countryShape  = regexp.MustCompile(`^[A-Z]{2}$`)
)

// readID reads a name that becomes part of cookie names, file names and metric labels.
func (v node) readID(dst *string) {
	s, ok := v.text()
	if ok && !idShape.MatchString(s) {
		v.fault("%q must be 1 to 32 of a-z, 0-9 and -", s)
		return
	}
	*dst = s
}

// readSiteID reads an id that also names the visitor cookie.
func (v node) readSiteID(dst *string) {
	if v.readID(dst); *dst == "out" {
		v.fault("%q is taken: the cookie _bk_out is the opt-out cookie of all sites", *dst)
	}
}

// readText reads one line of text for people, at most maxRunes long.
func (v node) readText(dst *string, maxRunes int) {
	s, ok := v.text()
	if !ok {
		return
	}
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		v.fault("must not be empty")
	case utf8.RuneCountInString(s) > maxRunes:
		v.fault("is longer than %d characters", maxRunes)
	case strings.ContainsFunc(s, unicode.IsControl):
		v.fault("must be one line without control characters")
	default:
		*dst = s
	}
}

func (v node) readBool(dst *bool) {
	b, ok := v.n.(*ast.BoolNode)
	if !ok {
		v.fault("must be true or false")
		return
	}
	*dst = b.Value
}

func (v node) readInt(dst *int, lo, hi int) {
	s, ok := v.text()
	if !ok {
		return
	}
	i, err := strconv.Atoi(s)
	if err != nil || v.isString() || i < lo || i > hi {
		v.fault("must be a whole number from %d to %d", lo, hi)
		return
	}
	*dst = i
}

// readDuration reads "90s", "30m", "12h", "7d" or a sum such as "1d12h".
func (v node) readDuration(dst *time.Duration, lo, hi time.Duration) {
	s, ok := v.text()
	if !ok {
		return
	}
	d, ok := parseDuration(s)
	if !ok {
		v.fault("%q must be a duration such as 30m, 12h or 7d", s)
		return
	}
	if d < lo || d > hi {
		v.fault("%s must be from %s to %s", s, spell(lo), spell(hi))
		return
	}
	*dst = d
}

func parseDuration(s string) (time.Duration, bool) {
	m := durationShape.FindStringSubmatch(s)
	if m == nil || s == "" {
		return 0, false
	}
	var d time.Duration
	for i, unit := range []time.Duration{day, time.Hour, time.Minute, time.Second} {
		if m[i+1] != "" {
			n, _ := strconv.Atoi(m[i+1]) // at most eight digits: the shape says so
			d += time.Duration(n) * unit
		}
	}
	return d, true
}

// spell writes a duration the way that a sites file does.
func spell(d time.Duration) string {
	switch {
	case d >= day && d%day == 0:
		return strconv.Itoa(int(d/day)) + "d"
	case d >= time.Hour && d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	case d >= time.Minute && d%time.Minute == 0:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	}
	return strconv.Itoa(int(d/time.Second)) + "s"
}

// readShare reads a part of a whole: "10%" or 0.1. A bare number of 1 or more is refused, because 1
// could mean either end.
func (v node) readShare(dst *float64) bool {
	s, ok := v.text()
	if !ok {
		return false
	}
	var share float64
	var err error
	if m := shareShape.FindStringSubmatch(s); m != nil {
		share, err = strconv.ParseFloat(m[1], 64)
		share /= 100
	} else if share, err = strconv.ParseFloat(s, 64); err == nil && share >= 1 {
		v.fault("write a share as %s%% or as a number below 1", s)
		return false
	}
	if err != nil || !(share >= 0 && share <= 1) {
		v.fault("%q must be a share such as 10%% or 0.1", s)
		return false
	}
	*dst = share
	return true
}

// readPercent reads a number above 0 and at most 100.
func (v node) readPercent(dst *float64) {
	s, ok := v.text()
	if !ok {
		return
	}
	p, err := strconv.ParseFloat(s, 64)
	if err != nil || v.isString() || !(p > 0 && p <= 100) || p*100 != math.Trunc(p*100) {
		v.fault("percent must be a number above 0, at most 100, with at most two digits after the point")
		return
	}
	*dst = p
}

// readAmount reads money above zero.
func (v node) readAmount(dst *event.Amount) {
	s, ok := v.text()
	if !ok {
		return
	}
	a, ok := event.ParseAmount([]byte(s))
	if !ok || v.isString() || a.Units <= 0 {
		v.fault("must be an amount of money above 0, such as 5.00")
		return
	}
	*dst = a
}

// readRate reads an exchange rate exactly, in event.RateScale-ths.
func (v node) readRate() (rate int64, ok bool) {
	s, ok := v.text()
	if !ok {
		return 0, false
	}
	m := rateShape.FindStringSubmatch(s)
	if m != nil && !v.isString() {
		rate, _ = strconv.ParseInt(m[1]+(m[2] + "00000000")[:8], 10, 64) // at most 17 digits
	}
	if rate == 0 {
		v.fault("must be a rate above 0 with at most eight digits after the point, such as 0.92")
		return 0, false
	}
	return rate, true
}

func (v node) readLane(dst *privacy.Lane, allowed ...privacy.Lane) bool {
	s, ok := v.text()
	if !ok {
		return false
	}
	lane, _ := privacy.ParseLane(s)
	names := make([]string, len(allowed))
	for i, a := range allowed {
		if a == lane {
			*dst = lane
			return true
		}
		names[i] = a.String()
	}
	v.fault("%q must be one of %s", s, strings.Join(names, ", "))
	return false
}

func (v node) readTimezone(dst **time.Location) {
	s, ok := v.text()
	if !ok {
		return
	}
	loc, err := time.LoadLocation(s)
	if err != nil || s == "" || s == "Local" {
		v.fault("%q is not a time zone of the IANA list, such as Europe/Berlin", s)
		return
	}
	*dst = loc
}

// readKeyHash reads "sha256:" and 64 hexadecimal digits.
func (v node) readKeyHash() (sum [32]byte, ok bool) {
	s, ok := v.text()
	if !ok {
		return sum, false
	}
	digits, found := strings.CutPrefix(s, "sha256:")
	if n, err := hex.Decode(sum[:], []byte(digits[:min(len(digits), 64)])); !found || err != nil || n != 32 || len(digits) != 64 {
		v.fault("must be sha256: and the 64 hexadecimal digits of `printf %%s \"$KEY\" | sha256sum`")
		return sum, false
	}
	return sum, true
}

// instantLayouts are the forms of starts and ends without an offset, read in the site's time zone.
var instantLayouts = []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04"}

// readInstant reads a date, or a date and time, in loc unless the text names an offset. A bare date
// is its first moment; with wholeDay, the first moment of the day after it.
func (v node) readInstant(dst *time.Time, loc *time.Location, wholeDay bool) {
	s, ok := v.text()
	if !ok {
		return
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, loc); err == nil {
		if wholeDay {
			t = t.AddDate(0, 0, 1)
		}
		*dst = t
		return
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		*dst = t
		return
	}
	for _, layout := range instantLayouts {
		if t, err := time.ParseInLocation(layout, s, loc); err == nil {
			*dst = t
			return
		}
	}
	v.fault("%q must be a date or time such as 2026-12-01, 2026-12-01T09:00 or 2026-12-01T09:00:00+01:00", s)
}
