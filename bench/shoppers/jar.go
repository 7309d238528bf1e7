package shoppers

import (
	"net/http"
	"slices"
	"time"
)

// jar keeps one shopper's cookies for the one host there is. A program's jar is closed: it keeps none.
type jar struct {
	closed  bool
	cookies []*http.Cookie
}

// keep takes one Set-Cookie line as a browser does: a new value replaces the old one, one without life
// left removes it, one that cannot be read changes nothing.
func (j *jar) keep(line string, now time.Time) {
	c, err := http.ParseSetCookie(line)
	if err != nil || j.closed {
		return
	}
	j.cookies = slices.DeleteFunc(j.cookies, func(old *http.Cookie) bool { return old.Name == c.Name })
	expired := c.MaxAge < 0 || c.MaxAge == 0 && !c.Expires.IsZero() && !c.Expires.After(now)
	if !expired {
		j.cookies = append(j.cookies, c)
	}
}
