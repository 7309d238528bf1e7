package doctor

import (
	"bytes"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// document is what matters of a page, in the order in which a browser comes to it.
type document struct {
	base    *url.URL // what addresses are relative to
	scripts []script
	metas   []metaPolicy
	pixels  []*url.URL // images of noscript that are ours
	beckon  []string   // names of attributes that are ours: data-beckon-offer ...
}

// script is a script element that a browser would look at.
type script struct {
	place int // in the order of elements
	attr  map[string]string
	src   *url.URL // nil: inline, or no address of the web
	text  string
}

func (s *script) has(name string) bool { _, there := s.attr[name]; return there }

// metaPolicy is a Content-Security-Policy in the page. It holds for what comes after it.
type metaPolicy struct {
	place int
	text  string
}

// tagName is what the tag is called: b.js, or with its hash.
var tagName = regexp.MustCompile(`(?:^|/)b(\.[0-9a-f]{12})?\.js$`)

// readPage reads HTML as a browser with scripts does: what stands in a comment, a template or a noscript is no script.
// at is where the page came from. It fails on pages that browsers cut short too: over 512 elements deep.
func readPage(body []byte, at *url.URL) (*document, error) {
	root, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	d := &document{base: at}
	place, based := 0, false
	walk(root, func(n *html.Node) {
		place++
		switch n.DataAtom {
		case atom.Base:
			if href, there := attributes(n)["href"]; there && !based {
				based = true
				if u, err := at.Parse(strings.TrimSpace(href)); err == nil && isWeb(u) {
					d.base = u
				}
			}
		case atom.Meta:
			attr := attributes(n)
			if strings.EqualFold(strings.TrimSpace(attr["http-equiv"]), "content-security-policy") && inHead(n) {
				d.metas = append(d.metas, metaPolicy{place, attr["content"]})
			}
		case atom.Script:
			d.scripts = append(d.scripts, d.readScript(n, place))
		case atom.Noscript:
			d.readNoscript(n)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "data-beckon-") && !slices.Contains(d.beckon, a.Key) && len(d.beckon) < maxParts {
				d.beckon = append(d.beckon, a.Key)
			}
		}
	})
	return d, nil
}

// walk visits the elements of HTML below n in the order of the page, without those in templates.
func walk(n *html.Node, visit func(*html.Node)) {
	for c := range n.ChildNodes() {
		if c.Type == html.ElementNode && c.Namespace == "" {
			visit(c)
			if c.DataAtom == atom.Template {
				continue
			}
		}
		walk(c, visit)
	}
}

func (d *document) readScript(n *html.Node, place int) script {
	s := script{place: place, attr: attributes(n)}
	if src, there := s.attr["src"]; there {
		if u, err := d.base.Parse(strings.TrimSpace(src)); err == nil && isWeb(u) {
			s.src = u
		}
		return s
	}
	for c := range n.ChildNodes() {
		if c.Type == html.TextNode {
			s.text += c.Data
		}
	}
	return s
}

func isWeb(u *url.URL) bool { return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" }

// readNoscript finds the pixel in what is text to a browser with scripts.
func (d *document) readNoscript(n *html.Node) {
	for c := range n.ChildNodes() {
		for t := html.NewTokenizer(strings.NewReader(c.Data)); t.Next() != html.ErrorToken; {
			for _, a := range t.Token().Attr {
				if u, err := d.base.Parse(strings.TrimSpace(a.Val)); a.Key == "src" && err == nil && strings.HasSuffix(u.Path, "/p.gif") {
					d.pixels = append(d.pixels, u)
				}
			}
		}
	}
}

// attributes are those of an element; of two with one name browsers keep the first.
func attributes(n *html.Node) map[string]string {
	all := make(map[string]string, len(n.Attr))
	for _, a := range n.Attr {
		if _, twice := all[a.Key]; !twice && a.Namespace == "" {
			all[a.Key] = a.Val
		}
	}
	return all
}

func inHead(n *html.Node) bool {
	for p := range n.Ancestors() {
		if p.DataAtom == atom.Head {
			return true
		}
	}
	return false
}

// tags are the script elements that are the tag, or were meant to be: by the name of the file, or by the site. Others
// have data-site too, so the attribute alone is not enough.
func (d *document) tags(site string) (all []*script) {
	for i := range d.scripts {
		s := &d.scripts[i]
		if s.src != nil && (tagName.MatchString(s.src.Path) || s.attr["data-site"] == site) {
			all = append(all, s)
		}
	}
	return all
}

// inline are the scripts that stand in the page itself and run.
func (d *document) inline() (all []*script) {
	for i := range d.scripts {
		if s := &d.scripts[i]; !s.has("src") && (s.kind() == classic || s.kind() == module) {
			all = append(all, s)
		}
	}
	return all
}

// kind is what a browser makes of a script element.
type kind int

const (
	classic kind = iota
	module
	data // is never run: another type
)

// javaScript are the types of classic scripts, as the HTML standard lists them.
var javaScript = regexp.MustCompile(`(?i)^(?:application|text)/(?:x-)?(?:ecma|java)script$|^text/(?:javascript1\.[0-5]|jscript|livescript)$`)

func (s *script) kind() kind {
	switch t := strings.TrimSpace(s.attr["type"]); {
	case t == "" || javaScript.MatchString(t):
		return classic
	case strings.EqualFold(t, "module"):
		return module
	}
	return data
}
