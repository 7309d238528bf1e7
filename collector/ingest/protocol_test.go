package ingest

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"beckon/internal/cors"
)

func TestBodyALittleTooLargeLeavesTheConnectionInPeace(t *testing.T) {
	s := openShop(t)
	for range 2 {
		got := s.post(strings.Repeat(" ", 65<<10+1))
		if got.StatusCode != 413 || got.reason() != "too-large" || got.Close {
			t.Fatalf("got %d %q, close %v", got.StatusCode, got.reason(), got.Close)
		}
	}
}

func TestPathsAreResolvedBeforeTheyAreRouted(t *testing.T) {
	s := openShop(t)
	f := func(path string, status int) {
		t.Helper()
		if got := s.status(path); got != status {
			t.Errorf("%s: got %d, want %d", path, got, status)
		}
	}
	f("/b.js", 200)
	f("/a/../b.js", 200)
	f("/a/%2e%2e/b.js", 200)
	f("/b.js/", 404)
	f("/", 404)
	f("/../../etc/passwd", 404)
	f("/b.000000000000.js", 404)
	f("/dev/tomorrow", 404)
}

func TestPrefixIsStrippedAndNeeded(t *testing.T) {
	s := openShop(t, func(c *Config) { c.PathPrefix = "/px" })
	f := func(path string, status int) {
		t.Helper()
		if got := s.status(path); got != status {
			t.Errorf("%s: got %d, want %d", path, got, status)
		}
	}
	f("/px/b.js", 200)
	f("/px/p.gif?s=demo&n=page_view", 200)
	f("/b.js", 404)
	f("/pxb.js", 404)
	f("/px", 404)
	f("/.well-known/gpc.json", 200) // belongs to the root of the host
	f("/px/.well-known/gpc.json", 200)
}

func TestHeadIsGetWithoutBody(t *testing.T) {
	s := openShop(t)
	for path := range s.server.routes {
		if s.server.routes[path].get == nil || path == "/link" { // for whom it has an answer, see TestLinkIsForPagesOfTheSiteOnly
			continue
		}
		get, head := s.get(path+"?s=demo&n=page_view"), s.do("HEAD", path, "")
		if head.StatusCode != 200 || head.body != "" || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") || head.ContentLength != int64(len(get.body)) {
			t.Errorf("%s: HEAD got %d, %q, %d bytes; GET has %d", path, head.StatusCode, head.Header.Get("Content-Type"), head.ContentLength, len(get.body))
		}
	}
	if all := s.stored(); len(all) != 1 {
		t.Errorf("stored %d events, want that of GET /p.gif alone", len(all))
	}
}

func TestEveryReplyIsSafeToEmbed(t *testing.T) {
	s := openShop(t)
	for _, got := range []reply{s.get("/b.js"), s.get("/p.gif?s=demo&n=page_view"), s.post(batch("demo")), s.post(""), s.get("/x"), s.get("/e")} {
		h := got.Header
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cross-Origin-Resource-Policy") != "cross-origin" || h.Get("Cache-Control") == "" || h.Get("Vary") == "" || h.Get("Server") != "" {
			t.Errorf("%s: %v", got.Request.URL, h)
		}
	}
}

func TestListedPagesMayReadTheReply(t *testing.T) {
	s := openShop(t)
	f := func(got reply, origin string) {
		t.Helper()
		h := got.Header
		if h.Get("Access-Control-Allow-Origin") != origin || h.Get("Vary") != "Origin" {
			t.Errorf("got %d for %q, vary %q", got.StatusCode, h.Get("Access-Control-Allow-Origin"), h.Get("Vary"))
		}
		if credentials := h.Get("Access-Control-Allow-Credentials") == "true"; credentials != (origin != "") {
			t.Errorf("credentials with origin %q: %v", origin, credentials)
		}
		if origin != "" && !strings.Contains(h.Get("Access-Control-Expose-Headers"), "Beckon-Reason") {
			t.Errorf("exposed %q", h.Get("Access-Control-Expose-Headers"))
		}
	}
	from := func(o string) with { return header("Origin", o) }
	preflight := func(o string) reply {
		return s.do("OPTIONS", "/e", "", from(o), header("Access-Control-Request-Method", "POST"))
	}
	f(s.post(batch("demo", pageView), from(shopOrigin)), shopOrigin)
	f(s.post(batch("demo", pageView)), "")
	f(s.post(batch("demo", pageView), from("https://a.shop.example")), "") // listed by another site
	f(s.post(batch("demo", pageView), from("null")), "")
	f(s.get("/p.gif?s=demo&n=page_view&i=1", from(shopOrigin)), shopOrigin) // a refusal can be read too
	f(preflight(shopOrigin), shopOrigin)
	f(preflight("https://a.shop.example"), "https://a.shop.example")
	f(preflight("https://evil.example"), "")
	f(preflight("null"), "")
}

// The rules of CORS hold for every route, whoever asks: a listed origin is allowed by its name, with
// credentials; null only without them; nobody else. "*" stands at the tag alone, which is no secret and
// comes without credentials. Whatever depends on the origin says so.
func TestEveryRouteKeepsTheRulesOfCORS(t *testing.T) {
	s := openShop(t)
	origins := []string{"", shopOrigin, "https://a.shop.example", "https://evil.example", "null", "*", shopOrigin + ".evil.example", "HTTPS://SHOP.EXAMPLE", shopOrigin + "/", shopOrigin + ", https://evil.example"}
	listed := map[string]bool{shopOrigin: true, "https://a.shop.example": true}
	asked := 0
	for path, rt := range s.server.routes {
		for _, method := range []string{"GET", "POST", "OPTIONS", "PUT"} {
			for _, from := range origins {
				req, err := http.NewRequest(method, "http://"+s.addr+path+"?s=demo&n=page_view", strings.NewReader(""))
				if err != nil {
					t.Fatal(err)
				}
				if from != "" {
					req.Header.Set("Origin", from)
				}
				resp, err := s.client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				asked++
				h := resp.Header
				allowed, credentials, exposed := h.Get("Access-Control-Allow-Origin"), h.Get("Access-Control-Allow-Credentials"), h.Get("Access-Control-Expose-Headers")
				switch allowed {
				case "":
					if credentials != "" || exposed != "" {
						t.Errorf("%s %s from %q: allows nobody, but %q %q", method, path, from, credentials, exposed)
					}
				case "*":
					if !strings.HasPrefix(rt.name, "tag") || credentials != "" {
						t.Errorf("%s %s from %q: allows everybody, credentials %q", method, path, from, credentials)
					}
					continue
				default:
					if allowed != from || !listed[from] || credentials != "true" || exposed != cors.Exposed {
						t.Errorf("%s %s from %q: allows %q, credentials %q, exposes %q", method, path, from, allowed, credentials, exposed)
					}
				}
				if !slices.Contains(h.Values("Vary"), "Origin") {
					t.Errorf("%s %s from %q: %d without Vary: Origin", method, path, from, resp.StatusCode)
				}
			}
		}
	}
	if asked < 40*len(s.server.routes) {
		t.Errorf("asked only %d times", asked)
	}
}
