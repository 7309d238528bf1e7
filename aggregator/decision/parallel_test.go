package decision

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/aggregator/feature"
	"beckon/internal/privacy"
)

// question is a request, and the answer that it had while nobody else asked.
type question struct {
	method, url, body string
	headers           map[string]string
	newToken          bool // in each answer: an offer for everyone is nobody's
	want              string
}

var tokenOfAnswer = regexp.MustCompile(`"token":"[^"]+"`)

// ask returns the answer with its head. A token that is new in each must not have been in one of heard.
func (q *question) ask(heard *sync.Map) (answer string, err error) {
	req, err := http.NewRequest(q.method, q.url, strings.NewReader(q.body))
	if err != nil {
		return "", err
	}
	for name, value := range q.headers {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	resp.Header.Del("Date")
	if q.newToken {
		token := string(tokenOfAnswer.Find(text))
		if _, twice := heard.LoadOrStore(token, true); twice || token == "" {
			return "", fmt.Errorf("%s %s: %q was somebody else's", q.method, q.url, token)
		}
		text = tokenOfAnswer.ReplaceAll(text, nil)
	}
	return fmt.Sprintln(resp.StatusCode, resp.Header, string(text)), err
}

// manyQuestions are of visitors of all kinds, no two of whom may hear the same, each in every way in which one can ask.
func manyQuestions(t *testing.T, r *replica, each int) []*question {
	t.Helper()
	var list []*question
	for n := range each {
		for _, site := range []string{"demo", "held", "split", "open", "stranger", "nobody"} {
			visit, key := "", feature.Key{}
			id := strings.NewReplacer("stranger", "demo", "nobody", "open").Replace(site)
			if site != "nobody" {
				visit, key = r.visitor(id)
			}
			if site != "nobody" && site != "stranger" {
				hour := r.now().Truncate(time.Hour).Unix()
				r.store.Put(key, &feature.Profile{
					ReadAt: r.now().Add(time.Duration(len(list)) * time.Millisecond), // so that each is fresh at another time
					Hours:  []feature.Hour{{Start: hour, Pageviews: uint32(n + 1), Sessions: []uint64{1, 2}}}, LastSeen: r.now().UnixMilli(),
				}, r.now())
			}
			headers := map[string]string{"User-Agent": firefox, "Cookie": privacy.CookieName(id, false) + "=" + visit, "Content-Type": "application/json"}
			byKey := map[string]string{"Authorization": "Bearer " + serverKey, "Beckon-Visitor": visit}
			list = append(list,
				&question{method: "GET", url: r.url + "/v1/decision?site=" + id, headers: headers, newToken: id == "open"},
				&question{method: "POST", url: r.url + "/ofrep/v1/evaluate/flags", body: `{"context":{"site":"` + id + `"}}`, headers: headers, newToken: id == "open"},
				&question{method: "GET", url: r.url + "/v1/decision?explain=1&site=" + id, headers: byKey})
		}
	}
	return list
}

// TestNobodyHearsAByteOfAnother: answers, and what they are made in, are used again by whoever comes next.
func TestNobodyHearsAByteOfAnother(t *testing.T) {
	r := startReplica(t, newSetup(t))
	list := manyQuestions(t, r, 5)
	var heard sync.Map
	for range 2 { // the first serves, and what is heard of them from then on
		for _, q := range list {
			var err error
			if q.want, err = q.ask(&heard); err != nil {
				t.Fatal(err)
			}
		}
	}
	offers, tokens := map[string]bool{}, 0
	for _, q := range list {
		if _, after, ok := strings.Cut(q.want, `"decision_id":"`); ok && q.body == "" {
			offers[after[:32]] = true
		}
		tokens += strings.Count(q.want, `"token":"`)
	}
	if len(offers) < 10 || tokens < 10 {
		t.Fatalf("%d decisions and %d tokens to be mixed up, want more", len(offers), tokens)
	}

	errs := make([]error, 8)
	var all sync.WaitGroup
	for worker := range errs {
		all.Go(func() {
			for round := range 5 {
				for i := range list {
					q := list[(i*(2*worker+1)+round)%len(list)] // each in an order of its own
					switch got, err := q.ask(&heard); {
					case err != nil:
						errs[worker] = err
						return
					case got != q.want:
						errs[worker] = fmt.Errorf("%s %s\n got %s\nwant %s", q.method, q.url, got, q.want)
						return
					}
				}
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}
