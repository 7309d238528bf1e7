package demoshop

import (
	"net/http"
	"strings"
	"time"
)

// The three answers to the banner, named after the lane each asks for.
const (
	choiceDecide  = "decide"  // personal offers
	choiceMeasure = "measure" // counted, without a lasting id
	choiceCount   = "count"   // rejected: totals only
)

const (
	consentCookie = "tarn_consent"
	// bannerVersion is the wording that a choice was made under. A new wording asks again.
	bannerVersion = "2026-11"
	// choiceLife is for how long the banner stays away. Regulators expect to be asked anew after
	// about half a year.
	choiceLife = 180 * 24 * time.Hour
)

// defaultSentences tell, in the banner, what happens without a choice, by the site's default lane.
var defaultSentences = map[string]string{
	choiceDecide:  "To let you see the whole path, this demo starts with personal offers on.",
	choiceMeasure: "Until you choose, visits are measured without a lasting id and nothing is personal.",
	choiceCount:   "Until you choose, visits are only counted.",
}

// A Choice is what the visitor answered, one of the three above, as the shop remembers it. It is
// handed to the tag on every page: a visitor who rejected has no Beckon cookie that could say so.
type Choice string

// consentProps are the tag's words for a choice.
type consentProps struct {
	Decide  bool   `json:"decide"`
	Measure bool   `json:"measure"`
	Source  string `json:"src"`
	Version string `json:"ver"`
}

// Props turns the choice into the argument of beckon('consent', ...).
func (c Choice) Props() consentProps {
	return consentProps{Decide: c == choiceDecide, Measure: c != choiceCount, Source: "banner", Version: bannerVersion}
}

// readChoice returns "" when there is no choice under this wording.
func readChoice(r *http.Request) Choice {
	c, err := r.Cookie(consentCookie)
	if err != nil {
		return ""
	}
	lane, version, _ := strings.Cut(c.Value, ".")
	if _, known := defaultSentences[lane]; !known || version != bannerVersion {
		return ""
	}
	return Choice(lane)
}

// consent remembers the answer to the banner. The banner's script gets the words for the tag back;
// without the script the visitor returns to the page they came from.
func (s *shop) consent(w http.ResponseWriter, r *http.Request) {
	lane := r.PostFormValue("choice")
	if _, known := defaultSentences[lane]; !known {
		http.Error(w, "choice is one of decide, measure, count", http.StatusBadRequest)
		return
	}
	setCookie(w, r, consentCookie, lane+"."+bannerVersion, choiceLife)
	if r.Header.Get("Accept") == "application/json" {
		writeJSON(w, http.StatusOK, Choice(lane).Props())
		return
	}
	http.Redirect(w, r, localPath(r.PostFormValue("back")), http.StatusSeeOther)
}

// localPath returns a path of this shop, never another host's: "//evil" and "/\evil" leave it.
func localPath(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}

// setCookie sets one of the shop's cookies; life 0 = until the browser closes, below 0 = gone. None
// is for scripts.
func setCookie(w http.ResponseWriter, r *http.Request, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(life.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil,
	})
}
