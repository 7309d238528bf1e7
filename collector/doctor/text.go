package doctor

import (
	"fmt"
	"io"
	"strings"
)

// Text writes the report for people: a line for each finding, with the way to mend it below.
//
//	ok           page       https://shop.example/ answers 200, text/html, 48 KiB
//	fault        csp        the header's connect-src does not let the page send to https://shop.example/px/e
//	                        -> add 'self' to connect-src
func (r Report) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Site %s on %s, looked at by beckon-collector %s\n\n", r.Site, r.URL, r.Version)
	const indent = 25
	for _, c := range r.Checks {
		for i, f := range c.Findings {
			name := c.Name
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(&b, "%-12s %-11s %s\n", f.Outcome, name, clean(f.Seen))
			if f.Mend != "" {
				fmt.Fprintf(&b, "%*s-> %s\n", indent, "", clean(f.Mend))
			}
		}
	}
	b.WriteByte('\n')
	switch {
	case !r.Reached:
		b.WriteString("The page could not be looked at.\n")
	case r.Faults > 0:
		fmt.Fprintf(&b, "%s and %s. Mend them from the top: what comes first can be the cause of what comes later.\n", count(r.Faults, "fault"), count(r.Warnings, "warning"))
	case r.Warnings > 0:
		fmt.Fprintf(&b, "No fault, %s.\n", count(r.Warnings, "warning"))
	default:
		b.WriteString("No fault.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// clean keeps what a server or a page wrote from steering the terminal.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, text)
}

// quote shows a value of others, cut to what a line can bear.
func quote(text string) string {
	const most = 120
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return `"` + text + `"`
}

func list(words []string) string {
	switch n := len(words); n {
	case 0:
		return ""
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
}
