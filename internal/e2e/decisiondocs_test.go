package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/evanw/esbuild/pkg/api"
)

// testedSnippet is a piece of a page of docs that a comment above it names.
var testedSnippet = regexp.MustCompile("(?m)^<!-- tested: ([a-z-]+) -->\n```[a-z]+\n((?s:.*?))```$")

// Each snippet of the page that asks for a decision is run as it stands: in a real browser on the demo shop's page
// and on one of another host, in Node, and in a shell.
func TestSnippetsOfTheDecisionDocs(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "decisions.md"))
	if err != nil {
		t.Fatal(err)
	}
	snippets := map[string]string{}
	for _, m := range testedSnippet.FindAllStringSubmatch(string(page), -1) {
		snippets[m[1]] = m[2]
	}
	dev := startDevStack(t)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><title>elsewhere</title><link rel="icon" href="data:,">`)
	}))
	defer elsewhere.Close()
	dev.admits(t, elsewhere.URL)

	p := newPerson(t, startChromium(t), dev.url(""))
	p.open("/")
	p.click("#consent [value=decide]")
	p.sees("#seen-cause", "chosen in the banner")
	p.follow("#tomorrow", "/")
	p.sees("#seen-code", "TARGETING_MATCH, treatment")
	offer := p.eval(`beckon.decision().then(d => d.token)`)
	cookie := p.cookies()["_bk_demo"].Value

	f := func(name string, run func(snippet string) string) {
		t.Run(name, func(t *testing.T) {
			snippet, ok := snippets[name]
			if !ok {
				t.Fatal("the page has no such snippet")
			}
			delete(snippets, name)
			if said := run(snippet); !strings.Contains(said, offer) {
				t.Errorf("it says %s, want the offer with the token %s", said, offer)
			}
		})
	}
	inPage := func(snippet string) string { return p.eval(bundled(t, snippet)) }
	inNode := func(snippet string) string { return dev.inNode(t, snippet, cookie) }
	f("browser", inPage)
	f("openfeature-web", inPage)
	f("server", inNode)
	f("openfeature-server", inNode)
	f("explain", func(snippet string) string {
		said := dev.run(t, cookie, "sh", "-c", snippet)
		if !strings.Contains(said, `"reason":"TARGETING_MATCH"`) || !strings.Contains(said, `"gate":"consent"`) {
			t.Errorf("it says %s", said)
		}
		return offer // which an explanation does not have
	})
	f("openfeature-cross", func(snippet string) string {
		p.goesTo(elsewhere.URL)
		return inPage(strings.ReplaceAll(snippet, "https://shop.example", dev.url("")))
	})
	// From the other host a page can read the ETag and send it back, through a preflight.
	got := p.eval(fmt.Sprintf(`(async () => {
		const ask = (more) => fetch(%q, { method: 'POST', credentials: 'include', headers: { 'Content-Type': 'application/json', ...more }, body: '{}' });
		const first = await ask({});
		const again = await ask({ 'If-None-Match': first.headers.get('ETag') });
		return first.status + ' ' + again.status + ' ' + first.headers.get('Beckon-Lane');
	})()`, dev.url("/px/ofrep/v1/evaluate/flags")))
	if got != "200 304 decide; recorded" {
		t.Errorf("flags from another host, twice: %s", got)
	}
	for name := range snippets {
		t.Errorf("the snippet %q is not run", name)
	}
}

// admits lets pages of one more origin, and a server with the key, ask for the demo shop's decisions.
func (s *devStack) admits(t *testing.T, origin string) {
	t.Helper()
	path := filepath.Join(s.state, "sites.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), `origins: ["`, `origins: ["`+origin+`", "`, 1)
	changed = strings.Replace(changed, "    currency: EUR\n", "    currency: EUR\n"+serverKeyLine, 1)
	if err := os.WriteFile(path+".new", []byte(changed), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		ask, err := http.NewRequest(http.MethodOptions, s.url("/px/ofrep/v1/evaluate/flags"), nil)
		if err != nil {
			return err
		}
		ask.Header.Set("Origin", origin)
		reply, err := http.DefaultClient.Do(ask)
		if err != nil {
			return err
		}
		reply.Body.Close()
		if reply.StatusCode != http.StatusNoContent {
			return fmt.Errorf("a preflight from %s: %d", origin, reply.StatusCode)
		}
		return nil
	})
}

// bundled is a script that runs a snippet of a module and gives what it shows.
func bundled(t *testing.T, snippet string) string {
	t.Helper()
	imports, rest := splitImports(snippet)
	built := api.Build(api.BuildOptions{
		Stdin: &api.StdinOptions{
			Contents:   imports + "const shown = [];\nconst showOffer = (...what) => shown.push(what);\nglobalThis.ran = (async () => {" + rest + "return JSON.stringify(shown);\n})();",
			ResolveDir: openFeatureDir,
		},
		Bundle: true, Format: api.FormatIIFE, Platform: api.PlatformBrowser, LogLevel: api.LogLevelSilent,
	})
	if len(built.Errors) > 0 {
		t.Fatalf("bundle: %s", built.Errors[0].Text)
	}
	return string(built.OutputFiles[0].Contents) + "\nglobalThis.ran"
}

func splitImports(snippet string) (imports, rest string) {
	for line := range strings.Lines(snippet) {
		if strings.HasPrefix(line, "import ") {
			imports += line
		} else {
			rest += line
		}
	}
	return imports, rest
}

// inNode runs a snippet in Node, as on a shop's server, and gives what it calls decision.
func (s *devStack) inNode(t *testing.T, snippet, cookie string) string {
	t.Helper()
	modules, err := filepath.Abs(filepath.Join(openFeatureDir, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "snippet.mjs")
	text := "const visitorCookie = process.env.COOKIE;\n" + snippet + "\nconsole.log(JSON.stringify(decision));\nprocess.exit(0);\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.run(t, cookie, "node", file)
}

// run runs a program of the shop's server, which knows where the aggregator is and what the browser sent.
func (s *devStack) run(t *testing.T, cookie, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), factLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "BECKON_URL="+s.url("/px"), "BECKON_SERVER_KEY="+serverKey, "COOKIE="+cookie)
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, said)
	}
	var ignored any
	if json.Unmarshal(said, &ignored) != nil {
		t.Errorf("%s says no JSON: %s", name, said)
	}
	return string(said)
}

// goesTo types the address of a page that is none of the shop, from which requests to the shop are no fault.
func (p *person) goesTo(address string) {
	p.t.Helper()
	at, err := url.Parse(address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.also = at.Host
	p.mu.Unlock()
	p.do(chromedp.Navigate(address))
	p.arrives("/")
}
