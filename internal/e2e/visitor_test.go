package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"beckon/internal/event"
)

// visitor is somebody with a browser: it keeps cookies and says what it is.
type visitor struct {
	t      *testing.T
	s      *stack
	site   string
	client http.Client
}

func (s *stack) newVisitor(site string) *visitor {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	transport := &http.Transport{}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &visitor{t: s.t, s: s, site: site, client: http.Client{Jar: jar, Transport: transport, Timeout: factLimit}}
}

// answer is a reply that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) reason() string { return a.header.Get("Beckon-Reason") }

func (v *visitor) send(method, url, body string, headers ...string) (answer, error) {
	r, err := http.NewRequestWithContext(v.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("User-Agent", userAgent)
	if body != "" {
		r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	reply, err := v.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer reply.Body.Close()
	got, err := io.ReadAll(reply.Body)
	return answer{reply.StatusCode, reply.Header, got}, err
}

// must is send for a request that has to succeed.
func (v *visitor) must(status int, method, url, body string, headers ...string) answer {
	v.t.Helper()
	a, err := v.send(method, url, body, headers...)
	if err != nil {
		v.t.Fatal(err)
	}
	if a.status != status {
		v.t.Fatalf("%s %s: %d %q %s, want %d", method, url, a.status, a.reason(), a.body, status)
	}
	return a
}

// post sends a batch and returns the answer, whatever it is.
func (v *visitor) post(body string, headers ...string) (answer, error) {
	return v.send(http.MethodPost, "http://"+v.s.collector.public+"/e", body, headers...)
}

// tells sends one event that has to be taken, and returns its id.
func (v *visitor) tells(kind string) event.UUID {
	v.t.Helper()
	id := newID()
	v.must(http.StatusNoContent, http.MethodPost, "http://"+v.s.collector.public+"/e", batch(v.site, oneEvent(kind, id, `{}`)))
	return id
}

// looks loads a pixel, as a page without our script does.
func (v *visitor) looks() {
	v.t.Helper()
	v.must(http.StatusOK, http.MethodGet, "http://"+v.s.collector.public+"/p.gif?n=page_view&s="+v.site, "")
}

// comesBack lets a day pass for the visitor.
func (v *visitor) comesBack() {
	v.t.Helper()
	v.must(http.StatusNoContent, http.MethodPost, "http://"+v.s.collector.public+"/dev/tomorrow?s="+v.site, "")
}

// setCookie changes what the browser keeps for the host; an empty value takes it away.
func (v *visitor) setCookie(name, value string) {
	v.t.Helper()
	host, err := url.Parse("http://" + v.s.collector.public)
	if err != nil {
		v.t.Fatal(err)
	}
	c := &http.Cookie{Name: name, Value: value, Path: "/"}
	if value == "" {
		c.MaxAge = -1
	}
	v.client.Jar.SetCookies(host, []*http.Cookie{c})
}

// decision is the answer of the aggregator, as far as the tests look at it.
type decision struct {
	Eligible  bool       `json:"eligible"`
	Offer     *offer     `json:"offer"`
	Arm       string     `json:"arm"`
	Reason    string     `json:"reason"`
	Token     string     `json:"token"`
	ExpiresAt string     `json:"expires_at"`
	FreshAt   *time.Time `json:"fresh_at"`
	ID        string     `json:"decision_id"`
}

type offer struct {
	ID string `json:"id"`
}

// same is what must not change while a grant is valid.
func (d decision) same() string {
	return fmt.Sprint(d.Eligible, " ", d.Reason, " ", d.Arm, " ", d.ID, " ", d.ExpiresAt, " ", d.Token)
}

// asks returns the decision of one aggregator. An error page fails the test.
func (v *visitor) asks(a *service, headers ...string) decision {
	v.t.Helper()
	reply := v.must(http.StatusOK, http.MethodGet, "http://"+a.public+"/v1/decision?site="+v.site, "", headers...)
	var d decision
	if err := json.Unmarshal(reply.body, &d); err != nil {
		v.t.Fatalf("decision %s: %v", reply.body, err)
	}
	return d
}

// comesTwice makes a new visitor one for whom there is an offer.
func (v *visitor) comesTwice() {
	v.t.Helper()
	v.looks()
	v.comesBack()
	v.looks()
}

// draws waits until an aggregator gives the offer to the visitor, or withholds it to compare.
func (v *visitor) draws(a *service) decision {
	v.t.Helper()
	var d decision
	eventually(v.t, func() error {
		if d = v.asks(a); d.ID == "" {
			return fmt.Errorf("reason %s", d.Reason)
		}
		return nil
	})
	return d
}

// becomesEligible lets a new visitor come twice and returns the first decision that gives the offer.
func (v *visitor) becomesEligible() decision {
	v.t.Helper()
	v.comesTwice()
	first := v.draws(v.s.aggregator)
	if !first.Eligible || first.Offer == nil || first.Offer.ID != "welcome-back" || first.Reason != "TARGETING_MATCH" || first.Token == "" {
		v.t.Fatalf("decision %+v, want the offer", first)
	}
	return first
}

// mayHaveOffer lets a new visitor come twice and waits until the aggregator knows. It asks in the way of
// the demo shop's panel, which serves nothing.
func (v *visitor) mayHaveOffer() {
	v.t.Helper()
	v.comesTwice()
	eventually(v.t, func() error {
		a := v.must(http.StatusOK, http.MethodGet, "http://"+v.s.aggregator.admin+"/dev/visitor?site="+v.site, "")
		if !strings.Contains(string(a.body), `"reason":"TARGETING_MATCH"`) {
			return fmt.Errorf("the panel shows %s", a.body)
		}
		return nil
	})
}

var uuids event.UUIDs

func newID() event.UUID { return uuids.Next(time.Now().UnixMilli()) }

func oneEvent(kind string, id event.UUID, props string) string {
	return fmt.Sprintf(`{"n":%q,"i":%q,"u":"https://shop.example/mugs","p":%s}`, kind, id, props)
}

func batch(site string, events ...string) string {
	return fmt.Sprintf(`{"v":1,"s":%q,"e":[%s]}`, site, strings.Join(events, ","))
}
