package shoppers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"beckon/internal/event"
)

// standIn is a collector as far as a browser can tell.
type standIn struct {
	t  *testing.T
	mu sync.Mutex

	seen    map[string]bool   // ids
	visits  map[string]*visit // by address
	refuse  func(id string) string
	answers func(w http.ResponseWriter, ids []string) bool // true: it has answered
}

// visit is what the stand-in knows of one address.
type visit struct {
	busy     bool
	requests int
}

func newStandIn(t *testing.T) *standIn {
	return &standIn{t: t, seen: map[string]bool{}, visits: map[string]*visit{}}
}

func (c *standIn) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	ids := c.read(req)
	c.enter(req)
	defer c.leave(req)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers != nil && c.answers(w, ids) {
		return
	}
	var dropped []string
	for _, id := range ids {
		reason := ""
		if c.seen[id] {
			reason = "duplicate"
		}
		if c.refuse != nil && c.refuse(id) != "" {
			reason = c.refuse(id)
		}
		if reason == "" {
			c.seen[id] = true
		} else {
			dropped = append(dropped, fmt.Sprintf(`{"at":0,"i":%q,"reason":%q}`, id, reason))
			w.Header().Set("Beckon-Reason", reason)
		}
	}
	w.Header().Set("Beckon-Lane", "decide; default")
	switch {
	case req.URL.Path == "/px/p.gif":
		if reason := w.Header().Get("Beckon-Reason"); reason != "" && reason != "duplicate" {
			w.WriteHeader(http.StatusBadRequest)
		}
	case len(dropped) > 0:
		fmt.Fprintf(w, `{"accepted":%d,"dropped":[%s]}`, len(ids)-len(dropped), strings.Join(dropped, ","))
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// read returns the ids in a request, which must be one of our two.
func (c *standIn) read(req *http.Request) (ids []string) {
	if req.Method == http.MethodGet && req.URL.Path == "/px/p.gif" {
		q := req.URL.Query()
		if q.Get("s") != "demo" || q.Get("n") != "page_view" || !strings.HasPrefix(req.Referer(), "https://shop.example/") {
			c.t.Errorf("pixel %s from %s", req.URL, req.Referer())
		}
		return []string{q.Get("i")}
	}
	if req.Method != http.MethodPost || req.URL.Path != "/px/e" || req.Header.Get("Content-Type") != "text/plain;charset=UTF-8" {
		c.t.Errorf("%s %s of type %q", req.Method, req.URL.Path, req.Header.Get("Content-Type"))
	}
	var batch struct {
		Site   string `json:"s"`
		Events []struct {
			ID string `json:"i"`
		} `json:"e"`
	}
	body, err := io.ReadAll(req.Body)
	if err == nil {
		err = json.Unmarshal(body, &batch)
	}
	if err != nil || batch.Site != "demo" {
		c.t.Errorf("a body of %d bytes for %q: %v", len(body), batch.Site, err)
	}
	for _, e := range batch.Events {
		ids = append(ids, e.ID)
	}
	return ids
}

// enter looks at what a browser may not do: ask again before it was answered, or forget a cookie.
func (c *standIn) enter(req *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := req.Header.Get("X-Forwarded-For")
	v := c.visits[from]
	if v == nil {
		v = &visit{}
		c.visits[from] = v
	}
	if v.busy {
		c.t.Errorf("%s has two requests under way", from)
	}
	v.busy = true
	v.requests++
}

func (c *standIn) leave(req *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.visits[req.Header.Get("X-Forwarded-For")].busy = false
}

func serve(t *testing.T, h http.Handler) (target string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL + "/px"
}

func TestEveryEventIsAcknowledgedOnceWhateverTheConcurrency(t *testing.T) {
	var first []event.UUID
	for _, concurrency := range []int{1, 7} {
		collector := newStandIn(t)
		acks := map[event.UUID]Ack{}
		r, err := Run(t.Context(), Config{
			Target: serve(t, collector), Site: "demo", Seed: 5, Start: someDay, Events: 3000, Concurrency: concurrency,
			OnAck: func(a Ack) { acks[a.ID] = a },
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(r.Acknowledged, func(a, b event.UUID) int { return strings.Compare(string(a[:]), string(b[:])) })
		if got := len(slices.Compact(slices.Clone(r.Acknowledged))); got != 3000 || r.Events != 3000 || len(acks) != 3000 || len(collector.seen) != 3000 {
			t.Errorf("%d acknowledged, %d sent, %d calls, %d arrived, want 3000 each", got, r.Events, len(acks), len(collector.seen))
		}
		if r.Repeats == 0 || r.TakenTwice != 0 || len(r.Unacknowledged) != 0 || len(r.Refused) != 0 || len(r.Faults) != 0 {
			t.Errorf("%+v", r)
		}
		if r.Shoppers != len(collector.visits) {
			t.Errorf("%d shoppers from %d addresses", r.Shoppers, len(collector.visits))
		}
		if a := acks[r.Acknowledged[0]]; a.Lane != "decide" || a.Kind == "" {
			t.Errorf("told of %+v", a)
		}
		if first != nil && !slices.Equal(first, r.Acknowledged) {
			t.Error("other events were sent")
		}
		first = r.Acknowledged
	}
}

func TestRefusedEventsAreCountedByTheirReason(t *testing.T) {
	collector := newStandIn(t)
	collector.refuse = func(id string) string {
		switch id[len(id)-1] {
		case '0':
			return "bad-value"
		case '1':
			return "too-old"
		}
		return ""
	}
	r, err := Run(t.Context(), Config{Target: serve(t, collector), Site: "demo", Events: 3000})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Acknowledged) != len(collector.seen) || len(r.Acknowledged)+r.Refused["bad-value"]+r.Refused["too-old"] != 3000 {
		t.Errorf("%d acknowledged of %d that arrived, refused %v", len(r.Acknowledged), len(collector.seen), r.Refused)
	}
	if r.Refused["bad-value"] < 100 || r.Refused["too-old"] < 100 || len(r.Refused) != 2 || r.TakenTwice != 0 {
		t.Errorf("refused %v, taken twice %d", r.Refused, r.TakenTwice)
	}
}

func TestWhatARefusedRequestBroughtIsRefusedForItsReason(t *testing.T) {
	f := func(status int, reason, want string) {
		t.Helper()
		collector := newStandIn(t)
		collector.answers = func(w http.ResponseWriter, _ []string) bool {
			w.Header().Set("Beckon-Reason", reason)
			w.WriteHeader(status)
			return true
		}
		r, err := Run(t.Context(), Config{Target: serve(t, collector), Site: "demo", Events: 200})
		if err != nil || !maps.Equal(r.Refused, map[string]int{want: 200}) || len(r.Acknowledged) != 0 {
			t.Errorf("refused %v, acknowledged %d: %v", r.Refused, len(r.Acknowledged), err)
		}
	}
	f(http.StatusForbidden, "origin-not-listed", "origin-not-listed")
	f(http.StatusNotFound, "unknown-site", "unknown-site")
	f(http.StatusBadRequest, "malformed", "malformed")
	f(http.StatusFound, "", "status-302")
}

func TestReadRefusesRepliesThatDoNotAddUp(t *testing.T) {
	batch := &message{events: make([]told, 2)}
	pixel := &message{events: make([]told, 1), pixel: true}
	f := func(m *message, status int, body string, good bool) {
		t.Helper()
		var resp fasthttp.Response
		resp.SetStatusCode(status)
		resp.SetBodyString(body)
		_, err := read(&resp, m)
		if good != (err == nil) || !good && !errors.Is(err, errBadReply) {
			t.Errorf("%d %q: %v", status, body, err)
		}
	}
	f(batch, 204, "", true)
	f(batch, 200, `{"accepted":1,"dropped":[{"at":0,"i":null,"reason":"bad-id"}]}`, true)
	f(batch, 200, `{"accepted":2,"dropped":[{"at":0,"i":null,"reason":"bad-id"}]}`, false)
	f(batch, 200, `{"accepted":0,"dropped":[]}`, false)
	f(batch, 200, "<html>welcome</html>", false)
	f(batch, 200, "", false)
	f(batch, 202, "", false)
	f(batch, 403, "", true)
	f(batch, 503, "", true)
	f(pixel, 200, "GIF89a", true)
	f(pixel, 204, "", false)
	f(pixel, 400, "", true)
}

func TestRunOutlivesACollectorThatIsKilledAndStartedAgain(t *testing.T) {
	collector := newStandIn(t)
	lost := map[string]bool{}
	collector.answers = func(_ http.ResponseWriter, ids []string) bool {
		// Stored, and then the reply is lost with the connection: the next try meets a duplicate.
		if len(lost) < 20 && !lost[ids[0]] && !collector.seen[ids[0]] {
			lost[ids[0]] = true
			for _, id := range ids {
				collector.seen[id] = true
			}
			panic(http.ErrAbortHandler)
		}
		return false
	}
	server := httptest.NewServer(collector)
	address := server.Listener.Addr().String()
	var acks atomic.Int64
	half, again := make(chan struct{}), make(chan *httptest.Server)
	go func() {
		defer close(again)
		<-half
		server.CloseClientConnections()
		server.Close()
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		second := &httptest.Server{Listener: listener, Config: &http.Server{Handler: collector}}
		second.Start()
		again <- second
	}()
	r, err := Run(t.Context(), Config{
		Target: server.URL + "/px", Site: "demo", Events: 4000, Patience: 20 * time.Second,
		OnAck: func(Ack) {
			if acks.Add(1) == 2000 {
				close(half)
			}
		},
	})
	if second := <-again; second != nil {
		second.Close()
	}
	if err != nil || len(r.Acknowledged) != 4000 || len(collector.seen) != 4000 || r.TakenTwice != 0 {
		t.Errorf("%d acknowledged, %d arrived, %d taken twice: %v", len(r.Acknowledged), len(collector.seen), r.TakenTwice, err)
	}
	if r.Faults["connection"] < 20 {
		t.Errorf("faults %v, want at least the 20 lost replies", r.Faults)
	}
}

func TestCookiesAreKeptAndProgramsKeepNone(t *testing.T) {
	given := map[string]string{} // cookie by address
	kept, none := 0, 0
	var mu sync.Mutex
	target := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		from, program := req.Header.Get("X-Forwarded-For"), isProgram(req.UserAgent())
		cookie, err := req.Cookie("_bk_demo")
		switch {
		case program || given[from] == "":
			if err == nil {
				t.Errorf("a cookie came from where it should not")
			}
			none++
		case err != nil || cookie.Value != given[from]:
			t.Errorf("the cookie %q was given, %v came", given[from], cookie)
		default:
			kept++
		}
		switch n := len(req.Cookies()); {
		case n > 1:
			t.Errorf("%d cookies", n)
		case given[from] != "" && req.ContentLength%5 == 0: // expire it
			given[from] = ""
			http.SetCookie(w, &http.Cookie{Name: "_bk_demo", MaxAge: -1})
		case given[from] == "" || req.ContentLength%3 == 0: // give a new one
			given[from] = fmt.Sprint(len(given), "-", kept)
			http.SetCookie(w, &http.Cookie{Name: "_bk_demo", Value: given[from], MaxAge: 3600, Path: "/", HttpOnly: true})
		}
		if req.Method == http.MethodPost {
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	if _, err := Run(t.Context(), Config{Target: target, Site: "demo", Events: 3000}); err != nil {
		t.Fatal(err)
	}
	if kept < 300 || none < 100 {
		t.Errorf("%d requests with a cookie, %d without", kept, none)
	}
}

func isProgram(userAgent string) bool {
	return slices.ContainsFunc(programs, func(a agent) bool { return a.name == userAgent })
}

func TestJarDoesAsABrowserDoes(t *testing.T) {
	f := func(want string, lines ...string) {
		t.Helper()
		var j jar
		for _, line := range lines {
			j.keep(line, someDay)
		}
		var got []string
		for _, c := range j.cookies {
			got = append(got, c.Name+"="+c.Value)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q left %q, want %q", lines, got, want)
		}
	}
	f("a=1", "a=1; Path=/; Max-Age=60")
	f("a=1", "a=1")
	f("a=2", "a=1", "a=2")
	f("b=1 a=2", "a=1", "b=1", "a=2")
	f("", "a=1", "a=; Max-Age=0")
	f("", "a=1", "a=; Expires=Tue, 10 Nov 2009 23:00:00 GMT")
	f("a=1", "a=1; Expires="+someDay.Add(time.Hour).Format(http.TimeFormat))
	f("a=1", "a=1; Max-Age=60; Expires=Tue, 10 Nov 2009 23:00:00 GMT") // Max-Age wins
	f("a=1", "a=1", "no cookie at all")
}

func TestRequestsCarryTheHeadersOfTheirBrowser(t *testing.T) {
	var mu sync.Mutex
	gpc, hints, bare := 0, 0, 0
	target := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		gpc += count(req.Header.Get("Sec-GPC") == "1")
		chromium := strings.Contains(req.Header.Get("Sec-CH-UA"), "Chromium")
		hints += count(chromium && req.Header.Get("Sec-CH-UA-Platform") != "" && req.Header.Get("Sec-CH-UA-Mobile") != "")
		bare += count(!chromium)
		if req.Method == http.MethodPost {
			if req.Header.Get("Origin") != "https://other.example" {
				t.Errorf("Origin %q", req.Header.Get("Origin"))
			}
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	if _, err := Run(t.Context(), Config{Target: target, Site: "demo", Origin: "https://other.example", Events: 3000}); err != nil {
		t.Fatal(err)
	}
	if gpc == 0 || hints < 100 || bare < 100 {
		t.Errorf("%d requests with Sec-GPC, %d with hints, %d without", gpc, hints, bare)
	}
}
