package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evanw/esbuild/pkg/api"

	pixeljs "beckon/pixel-js"
)

// slotInstalled: a shop that has put the tag into its pages as docs/tag.md says, and calls it so.
func slotInstalled(s *slotShop) {
	const view, add, buy = "product_view mug-blue 0 12.5 0 0", "cart_add mug-blue 2 12.5 25 0", "purchase  0 0 0 0"
	head := `<!doctype html><html lang="en"><meta charset="utf-8"><title>Shop</title><link rel="icon" href="data:,">`
	policy, value, _ := strings.Cut(strings.TrimSpace(s.snippet("csp")), ": ")
	s.front.Page("/", head+s.snippet("html")+`<p id="price-note"></p>`, policy, value)
	s.front.Page("/deferred", head+s.snippet("html-defer"))
	s.front.Page("/shop.js", `beckon('search', { query_length: 4 })`)
	s.front.Page("/shopify", head+`<script>`+vendors["shopify"]+`</script>`+strings.ReplaceAll(s.snippet("shopify"), "https://px.shop.example", s.front.Origin()+"/px"))

	p := s.newTab(s.T, s.front.Origin())
	p.open("/")
	p.eval(`(async () => { ` + s.snippet("decision") + ` return decision.reason })()`)
	decided(p, "TARGETING_MATCH")
	if note := p.text("#price-note"); note != "10% <b>off</b>" {
		s.Errorf("the page shows %q", note)
	}
	p.eval(s.snippet("calls") + `; ''`)
	p.eval(s.snippet("consent") + `; ''`)
	s.stores(view, add, buy)
	s.consents("banner")
	p.open("/deferred")
	s.stores(view, add, buy, "search  0 0 0 4")
	p.open("/shopify")
	p.eval(`answer(true); ''`)
	s.consents("shopify")

	mug := s.react(p)
	s.stores(view, add, buy, "search  0 0 0 4", mug)
}

// consents waits until a choice that was told by that source is stored.
func (s *slotShop) consents(source string) {
	s.Helper()
	eventually(s.T, func() error {
		if n := s.stack.number(`SELECT count() FROM consents WHERE site = '` + s.name + `' AND source = '` + source + `'`); n != 1 {
			return fmt.Errorf("%d choices by %s", n, source)
		}
		return nil
	})
}

// react renders the page's components on a server, has them hydrated, and uses them. React tells the console what it does not like, which
// fails the test.
func (s *slotShop) react(p *person) (told string) {
	s.Helper()
	dir := s.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "beckon.jsx"), []byte(s.snippet("react")), 0o600); err != nil {
		s.Fatal(err)
	}
	const page = `import { StrictMode } from 'react';
		import { AddToCart, Beckon, Offer } from './beckon.jsx';
		const page = <StrictMode><Offer /><AddToCart product="mug-react" price={3} /><Beckon /></StrictMode>;`
	server := filepath.Join(dir, "server.cjs")
	if err := os.WriteFile(server, s.bundle(dir, api.PlatformNode, page+`import { renderToString } from 'react-dom/server'; console.log(renderToString(page));`), 0o600); err != nil {
		s.Fatal(err)
	}
	node := exec.Command("node", server)
	node.Stderr = os.Stderr
	markup, err := node.Output()
	if err != nil || !strings.Contains(string(markup), "<button>Add to cart</button>") {
		s.Fatalf("the server renders %q (%v)", markup, err)
	}
	script := s.bundle(dir, api.PlatformBrowser, page+`import { hydrateRoot } from 'react-dom/client'; hydrateRoot(document.querySelector('main'), page);`)
	html := `<!doctype html><html lang="en"><meta charset="utf-8"><title>React</title><link rel="icon" href="data:,"><main>` +
		strings.TrimSpace(string(markup)) + `</main><script defer src="/app.js"></script>`
	s.front.Page("/react", html)
	s.front.Page("/app.js", string(script))
	p.open("/react")
	p.sees("aside", "10% <b>off</b> You came back.")
	p.eval(`history.pushState(null, '', '/react/next'); ''`)
	p.click("button")
	eventually(s.T, func() error {
		if n := s.stack.number(`SELECT count() FROM v_events WHERE site = '` + s.name + `' AND kind = 'page_view' AND path LIKE '/react%'`); n != 2 {
			return fmt.Errorf("%d views of the app's pages", n)
		}
		return nil
	})
	return "cart_add mug-react 1 3 0 0"
}

// bundle is what a shop's bundler makes of this script, with the tag's module as it is built.
func (s *slotShop) bundle(dir string, platform api.Platform, script string) []byte {
	s.Helper()
	root, err := filepath.Abs(filepath.Join("..", "..", "pixel-js"))
	if err != nil {
		s.Fatal(err)
	}
	result := api.Build(api.BuildOptions{
		Stdin:     &api.StdinOptions{Contents: script, ResolveDir: dir, Loader: api.LoaderJSX},
		Bundle:    true,
		Platform:  platform,
		JSX:       api.JSXAutomatic,
		NodePaths: []string{filepath.Join(root, "node_modules")},
		Alias:     map[string]string{"@beckon/pixel": filepath.Join(root, "src", "esm.ts")},
		Define:    map[string]string{"RELEASE": `"` + pixeljs.Release() + `"`, "process.env.NODE_ENV": `"development"`},
	})
	if len(result.Errors) > 0 {
		s.Fatalf("esbuild: %+v", result.Errors)
	}
	return result.OutputFiles[0].Contents
}

// TestTagDocsOfPlatforms runs what docs/tag.md shows for platforms that have a page of their own.
func TestTagDocsOfPlatforms(t *testing.T) {
	snippets := tagSnippets(t)
	shell := func(line string) string {
		cmd := exec.Command("sh", "-euc", line)
		cmd.Dir = filepath.Join("..", "..")
		cmd.Stderr = os.Stderr
		said, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return string(said)
	}

	plugins := t.TempDir()
	shell(strings.ReplaceAll(snippets["woocommerce"], "/var/www/html/wp-content/plugins", plugins))
	code := ""
	if err := filepath.WalkDir(plugins, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		code += string(text)
		return err
	}); err != nil || !strings.Contains(code, "Plugin Name: Beckon") {
		t.Errorf("what is packed is no plugin (%v)", err)
	}
	config := filepath.Join(t.TempDir(), "config.php")
	if err := os.WriteFile(config, []byte("<?php\n"+snippets["woocommerce-config"]+"echo json_encode(get_defined_constants(true)['user']);"), 0o600); err != nil {
		t.Fatal(err)
	}
	var constants map[string]string
	if said := shell("php " + config); json.Unmarshal([]byte(said), &constants) != nil || len(constants) != 2 {
		t.Errorf("the constants are %s", said)
	}
	for name := range constants {
		if option := strings.ToLower(name); !strings.Contains(code, name) && !strings.Contains(code, option) {
			t.Errorf("the plugin does not know %s", name)
		}
	}

	scripts := strings.Split(strings.TrimSpace(shell(snippets["bigcommerce"])), "\n")
	for i, category := range []string{"analytics", "targeting"} {
		var body struct {
			HTML     string `json:"html"`
			Category string `json:"consent_category"`
		}
		if len(scripts) != 2 || json.Unmarshal([]byte(scripts[i]), &body) != nil || body.Category != category || !strings.HasPrefix(body.HTML, "<script>") {
			t.Errorf("script %d of %d is %.200s", i, len(scripts), scripts[i])
		}
	}
}
