package privacy

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// people are user agents of browsers, with what must be made of them. In-app and TV strings are the ones
// that mssola/useragent alone takes for something else.
var people = []struct{ device, browser, os, ua string }{
	{"desktop", "chrome", "windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"},
	{"desktop", "chrome", "macos", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"},
	{"desktop", "chrome", "linux", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"},
	{"desktop", "chrome", "chromeos", "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"},
	{"mobile", "chrome", "android", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36"},
	{"tablet", "chrome", "android", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"},
	{"mobile", "chrome", "ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0.7444.46 Mobile/15E148 Safari/604.1"},
	{"tablet", "chrome", "ios", "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6_1) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142 Version/11.1.1 Safari/605.1.15"},
	{"mobile", "safari", "ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"},
	{"tablet", "safari", "ios", "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1"},
	{"desktop", "safari", "macos", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15"},
	{"desktop", "firefox", "windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"},
	{"desktop", "firefox", "linux", "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"},
	{"mobile", "firefox", "android", "Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0"},
	{"tablet", "firefox", "android", "Mozilla/5.0 (Android 15; Tablet; rv:145.0) Gecko/145.0 Firefox/145.0"},
	{"mobile", "firefox", "ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/145.0 Mobile/15E148 Safari/605.1.15"},
	{"tablet", "firefox", "ios", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/145.0 Safari/605.1.15"},
	{"desktop", "edge", "windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0"},
	{"mobile", "edge", "android", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36 EdgA/142.0.0.0"},
	{"mobile", "edge", "ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 EdgiOS/142.0.0.0 Mobile/15E148 Safari/604.1"},
	{"mobile", "samsung-internet", "android", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36"},
	{"tablet", "samsung-internet", "android", "Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/26.0 Chrome/122.0.0.0 Safari/537.36"},
	{"desktop", "opera", "windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 OPR/124.0.0.0"},
	{"mobile", "opera", "ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1 OPT/6.2.0"},
	{"mobile", "opera", "other", "Opera/9.80 (J2ME/MIDP; Opera Mini/9.80 (S60; SymbOS; Opera Mobi/23.348; U; en) Presto/2.5.25 Version/10.54"},
	{"desktop", "yandex", "windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 YaBrowser/25.10.0.0 Safari/537.36"},
	{"desktop", "vivaldi", "windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Vivaldi/7.6"},
	{"mobile", "duckduckgo", "ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15"},
	{"mobile", "duckduckgo", "android", "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/142.0.0.0 Mobile DuckDuckGo/5 Safari/537.36"},
	{"tablet", "silk", "android", "Mozilla/5.0 (Linux; Android 11; KFTRWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/130.4.1 like Chrome/130.0.6723.58 Safari/537.36"},
	{"mobile", "instagram", "ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/22G86 Instagram 405.0.0.21.71 (iPhone15,2; iOS 18_6; en_GB; en; scale=3.00; 1179x2556; 800000000)"},
	{"mobile", "facebook", "ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/22G86 [FBAN/FBIOS;FBAV/530.0.0.36.70;FBBV/800000000;FBDV/iPhone15,2;FBMD/iPhone;FBSN/iOS;FBSV/18.6;FBSS/3;FBLC/en_GB;FBOP/5]"},
	{"mobile", "facebook", "android", "Mozilla/5.0 (Linux; Android 14; SM-S911B Build/UP1A.231005.007; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/141.0.0.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/530.0.0.1.1;]"},
	{"mobile", "google-app", "ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) GSA/390.0.1 Mobile/15E148 Safari/604.1"},
	{"mobile", "tiktok", "ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 musical_ly_41.5.0 BytedanceWebview/d8a21c6"},
	{"mobile", "pinterest", "ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [Pinterest/iOS]"},
	{"mobile", "webview", "android", "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UQ1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/141.0.0.0 Mobile Safari/537.36"},
	{"mobile", "webview", "ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"},
	{"mobile", "wechat", "android", "Mozilla/5.0 (Linux; Android 14; V2309A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/130.0.0.0 Mobile Safari/537.36 MicroMessenger/8.0.50.2701"},
	{"mobile", "chrome", "android", "Mozilla/5.0 (Linux; Android 11; CUBOT X50) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36"},
	{"mobile", "miui", "android", "Mozilla/5.0 (Linux; U; Android 13; de-de; 2201117TY) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/112.0.5615.136 Mobile Safari/537.36 XiaoMi/MiuiBrowser/14.8.0"},
	{"mobile", "huawei", "android", "Mozilla/5.0 (Linux; Android 12; ANA-NX9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.5735.196 HuaweiBrowser/15.0.4.312 Mobile Safari/537.36"},
	{"desktop", "ie", "windows", "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; Touch; Tablet PC 2.0; rv:11.0) like Gecko"},
	{"tv", "samsung-internet", "other", "Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/4.0 Chrome/94.0.4606.31 TV Safari/537.36"},
	{"tv", "chrome", "other", "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.5359.211 Safari/537.36 WebAppManager"},
	{"tv", "silk", "android", "Mozilla/5.0 (Linux; Android 9; AFTSSS) AppleWebKit/537.36 (KHTML, like Gecko) Silk/120.4.1 like Chrome/120.0.6099.230 Safari/537.36"},
	{"console", "edge", "other", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 Edge/44.18363.8131"},
	{"mobile", "webview", "ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/605.1.15 SomeShopApp/3.1"},
	{"mobile", "webview", "ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Safari/605.1.15"},
	{"tablet", "safari", "ios", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"},
	{"mobile", "brave", "ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.7 Mobile/15E148 Safari/604.1 Brave"},
	{"tv", "chrome", "android", "Mozilla/5.0 (Linux; Android 9; SMART_TV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"},
	{"tv", "chrome", "android", "Mozilla/5.0 (Linux; Android 12; UnionTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"},
	{"tablet", "chrome", "android", "Mozilla/5.0 (Linux; Android 7.0; BTV-W09) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/111.0.0.0 Safari/537.36"},
	{"mobile", "chrome", "android", "Mozilla/5.0 (Linux; Android 11; W-V750BN-TVM) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/112.0.0.0 Mobile Safari/537.36"},
	{"console", "nintendo", "other", "Mozilla/5.0 (Nintendo Switch; WebApplet) AppleWebKit/613.0 (KHTML, like Gecko) NF/6.0.3.26.5 NintendoBrowser/5.1.0.38312"},
	{"console", "playstation", "other", "Mozilla/5.0 (PlayStation; PlayStation 5/9.00) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15"},
}

func TestParseKnowsBrowsersWithoutHints(t *testing.T) {
	agents := NewAgents(64)
	for _, p := range people {
		got := agents.Parse(Hints{UserAgent: []byte(p.ua)})
		want := Agent{Device: NewBucket(p.device), Browser: NewBucket(p.browser), OS: osWord(t, p.os)}
		if got != want {
			t.Errorf("%s\n got %v\nwant %v", p.ua, got, want)
		}
	}
}

// osWord also catches a typing mistake in the tables of this file.
func osWord(t *testing.T, s string) Bucket {
	t.Helper()
	for _, b := range []Bucket{osWindows, osMacOS, osIOS, osAndroid, osLinux, osChromeOS, other} {
		if b.s == s {
			return b
		}
	}
	t.Fatalf("%q is no system", s)
	return Bucket{}
}

func TestParseLetsHintsWin(t *testing.T) {
	const frozen = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36"
	const desktop = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
	const inApp = "Mozilla/5.0 (Linux; Android 15; Pixel 9; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/142.0.0.0 Mobile Safari/537.36 Instagram 400.0"
	f := func(ua, brands, mobile, platform, want string) {
		t.Helper()
		a := NewAgents(1).Parse(Hints{UserAgent: []byte(ua), Brands: []byte(brands), Mobile: []byte(mobile), Platform: []byte(platform)})
		if got := fmt.Sprintf("%s %s %s", a.Device, a.Browser, a.OS); got != want || a.Bot != (Bucket{}) {
			t.Errorf("%s | %s | %s: %s %s, want %s", brands, mobile, platform, got, a.Bot, want)
		}
	}
	f(frozen, `"Not.A/Brand";v="99", "Google Chrome";v="142", "Chromium";v="142"`, "?1", `"Android"`, "mobile chrome android")
	f(frozen, `"Chromium";v="142", "Brave";v="142", "Not_A Brand";v="8"`, "?1", `"Android"`, "mobile brave android")
	f(frozen, `"Opera";v="90","Google Chrome";v="142"`, "?1", `"Android"`, "mobile opera android")
	f(frozen, `"Google Chrome";v="142","Microsoft Edge";v="142"`, "?1", `"Android"`, "mobile edge android")
	f(frozen, `"Chromium";v="142"`, "?0", `"Android"`, "tablet chrome android")
	f(frozen, `"Not A;Brand";v="99"`, "", "", "mobile chrome android")
	f(desktop, "", "?0", `"Chrome OS"`, "desktop chrome chromeos")
	f(desktop, "", "", `"Android"`, "mobile chrome android") // "desktop site" on a telephone
	f(frozen, "", "?0", `"Windows"`, "desktop chrome windows")
	f(frozen, "", "", `"Unknown"`, "mobile chrome android")
	f(inApp, `"Android WebView";v="142", "Chromium";v="142"`, "?1", `"Android"`, "mobile instagram android")
	f(frozen, `"Android WebView";v="142", "Chromium";v="142"`, "?1", `"Android"`, "mobile webview android")
	f(people[44].ua, "", "?0", "", "tv chrome other") // a television says ?0 like a desktop

	// Malformed hints say nothing.
	f(frozen, `"Brave`, "1", `Windows`, "mobile chrome android")
	f(frozen, `"Brave",`, "?1;x", `"Windows" x`, "mobile chrome android")
	f(frozen, `Brave;v="1"`, "?2", `"Windows";`, "mobile chrome android")
	f(frozen, strings.Repeat(`"x";v="1",`, 40)+`"Brave"`, "", "", "mobile chrome android")
}

func TestBrandFamilyReadsStructuredFields(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		got, ok := brandFamily([]byte(in))
		if got.String() != want || ok != (want != "") {
			t.Errorf("brandFamily(%s) = %q, %v, want %q", in, got, ok, want)
		}
	}
	f(`"Brave"`, "brave")
	f(`  "Brave" ; v="1.2" ; full ; n=3.1 , "x"  `, "")
	f(`"Brave";v="1.2";full;n=3.1;b=?1;t=tok/en , "x"`, "brave")
	f("\t\"Brave\"\t,\t\"x\"", "brave")
	f(`"a\"b\\c";v="1","Brave"`, "brave")
	f(`"Br\ave"`, "")
	f(`"Brave";v="1" "x"`, "")
	f(`"Brave";v=`, "")
	f(`"Brave";`, "")
	f(`"Brave";v="1`, "")
	f(`"Brave","é"`, "")
	f(`"Brave",,"x"`, "")
	f(`,"Brave"`, "")
	f(`"Brave",`, "")
	f(`("Brave")`, "")
	f(`"Chromium"`, "")
	f(`"brave"`, "")
	f("", "")
}

func TestParseNamesBots(t *testing.T) {
	agents := NewAgents(64)
	f := func(ua, want string) {
		t.Helper()
		if got := agents.Parse(Hints{UserAgent: []byte(ua)}).Bot.String(); got != want {
			t.Errorf("%q is a bot for %q, want %q", ua, got, want)
		}
	}
	const chromium = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
	f("", "no-user-agent")
	f("   ", "no-user-agent")
	f("curl/8.5.0", "tool")
	f("Wget/1.21.4", "tool")
	f("python-requests/2.32.3", "tool")
	f("Python/3.12 aiohttp/3.10", "tool")
	f("Go-http-client/2.0", "tool")
	f("okhttp/4.12.0", "tool")
	f("node", "tool")
	f("MyScript 1.0", "tool")
	f(chromium+"HeadlessChrome/142.0.0.0 Safari/537.36", "headless")
	f(chromium+"Chrome/142.0.0.0 Safari/537.36 Playwright/1.50", "headless")
	f("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "crawler")
	f("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)", "crawler")
	f("Mozilla/5.0 (compatible; NeverHeardOfBot/0.1)", "crawler")
	f("Mozilla/5.0 (compatible; somespider)", "crawler")
	f("Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)", "crawler")
	f("Mozilla/5.0 (compatible; Orbiter/2.0)", "crawler")
	f("Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/5.0)", "")
	f(chromium+"Chrome/142.0.0.0 Safari/537.36 (jane@shop.example)", "crawler")
	f(chromium+"Chrome/142.0.0.0 Safari/537.36 PageMonitor/1.0", "crawler")
	f("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Mobile Safari/537.36 (Ecosia android@150.0.0.0)", "")
	f("Mozilla/5.0 (Linux; Android 7.0; M bot 51 Build/NRD90M) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/56.0.2924.87 Mobile Safari/537.36", "")
	f("Mozilla/5.0 (Linux; Android 7.0; Pixel Build/NRD90M) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/56.0 (compatible; Newbot 1)", "crawler")
	f("realme ThemeStore Mozilla/5.0 (Linux; Android 11; RMX3231; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/100.0 Mobile Safari/537.36", "")
	f(people[0].ua, "")

	f2 := func(purpose, ua, want string) {
		t.Helper()
		if got := agents.Parse(Hints{UserAgent: []byte(ua), Purpose: []byte(purpose)}).Bot.String(); got != want {
			t.Errorf("purpose %q: bot %q, want %q", purpose, got, want)
		}
	}
	headless := Hints{UserAgent: []byte(people[2].ua), Brands: []byte(`"Chromium";v="142", "HeadlessChrome";v="142", "Not A Brand";v="9"`)}
	if got := agents.Parse(headless).Bot; got != botHeadless {
		t.Errorf("a brand of HeadlessChrome: bot %q", got)
	}
	f2("prefetch", people[0].ua, "prefetch")
	f2("prefetch;prerender", people[0].ua, "prefetch")
	f2("Prefetch;anonymous-client-ip", people[0].ua, "prefetch")
	f2("preview", people[0].ua, "prefetch")
	f2("prefetch", "curl/8.5.0", "tool")
	f2("", people[0].ua, "") // the same user agent was remembered, its purpose was not
	f2("navigate", people[0].ua, "")
}

func TestParseLooksAtTheFirst512BytesOnly(t *testing.T) {
	const head = "Mozilla/5.0 (Windows NT 10.0; "
	f := func(pad int, want string) {
		t.Helper()
		ua := head + strings.Repeat("x", pad-len(head)) + "Googlebot/"
		if got := NewAgents(1).Parse(Hints{UserAgent: []byte(ua)}).Bot.String(); got != want {
			t.Errorf("a crawler's name after %d bytes: bot %q, want %q", pad, got, want)
		}
	}
	f(maxAgentBytes-10, "crawler")
	f(maxAgentBytes, "")
}

func TestParseSurvivesAnything(t *testing.T) {
	agents := NewAgents(1)
	for _, ua := range []string{
		"(", ")", "()", "( ; ; )", "Mozilla/5.0", "Mozilla/5.0 (", "Mozilla/5.0 ()", "Mozilla/5.0 () AppleWebKit/ ()", "Opera", "Dalvik ()", "/", " ", "\x00",
		"Mozilla/5.0 (compatible; MSIE)", "Mozilla/4.0 (compatible; MSIE 8.0; Trident/)", "Mozilla/5.0 (Linux) AppleWebKit", "\xff\xfe", "Mozilla/5.0 (X) Gecko", "Mozilla/5.0 [[[",
		strings.Repeat("(", 1<<16), strings.Repeat("Mozilla/5.0 ", 1<<12),
	} {
		a := agents.Parse(Hints{UserAgent: []byte(ua), Brands: []byte(ua), Mobile: []byte(ua), Platform: []byte(ua), Purpose: []byte(ua)})
		for _, b := range []Bucket{a.Device, a.Browser, a.OS} {
			if b == (Bucket{}) {
				t.Errorf("%.20q left a bucket empty: %v", ua, a)
			}
		}
	}
}

func TestAgentsRememberNoUserAgentAndStayBounded(t *testing.T) {
	agents := NewAgents(100)
	if len(agents.table) != 128 {
		t.Fatalf("the table has %d places, want 128", len(agents.table))
	}
	for i := range 10_000 {
		agents.Parse(Hints{UserAgent: fmt.Appendf(nil, "Mozilla/5.0 (canary-%d)", i)})
	}
	kept := map[string]bool{}
	for i := range agents.table {
		if e := agents.table[i].Load(); e != nil {
			for _, b := range []Bucket{e.agent.Device, e.agent.Browser, e.agent.OS, e.agent.Bot} {
				kept[b.s] = true
			}
		}
	}
	if len(kept) > 4 {
		t.Fatalf("10,000 made-up agents left the words %v", kept)
	}
	if one, other := NewAgents(1), NewAgents(1); one.hash(Hints{}) == other.hash(Hints{}) {
		t.Fatal("two processes would have one seed: somebody outside could aim at a place of the table")
	}
	h := Hints{UserAgent: []byte(people[0].ua)}
	agents.Parse(h)
	allocs(t, "a remembered agent", 0, func() { agents.Parse(h) })
}

func TestAgentsAreSafeForConcurrentUse(t *testing.T) {
	agents := NewAgents(2) // so that they push each other out
	want := make([]Agent, len(people))
	for i, p := range people {
		want[i] = describe(Hints{UserAgent: []byte(p.ua)})
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				for i, p := range people {
					if got := agents.Parse(Hints{UserAgent: []byte(p.ua)}); got != want[i] {
						t.Errorf("%s gave %v", p.ua, got)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func FuzzBrandFamily(f *testing.F) {
	for _, s := range []string{`"Not.A/Brand";v="99", "Google Chrome";v="142"`, `"a\"b";x;y=1`, `"`, `"a";`, `"a",`, `,`, ";", `"a"; v="`, "\"\x7f\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		family, ok := brandFamily(list)
		if ok != (family != Bucket{}) {
			t.Fatal("a family without a brand, or the other way round")
		}
		if !ok {
			return
		}
		// A list stays valid with a brand of nobody's before it.
		if again, ok := brandFamily(append([]byte(`"Not A Brand";v="9", `), list...)); !ok || again != family {
			t.Fatalf("one more brand made %v of %v", again, family)
		}
		if _, ok := brandFamily(append(list[:len(list):len(list)], `,"`...)); ok {
			t.Fatal("an open string at the end was accepted")
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, p := range people {
		f.Add([]byte(p.ua), []byte(`"Brave"`), []byte("?1"), []byte(`"Windows"`), []byte("prefetch"))
	}
	words := map[string]bool{}
	for _, rules := range [][]rule{browserRules, osRules, deviceRules} {
		for _, r := range rules {
			words[r.is.s] = true
		}
	}
	for _, m := range []map[string]Bucket{parserNames, brands, platforms} {
		for _, b := range m {
			words[b.s] = true
		}
	}
	for _, b := range []Bucket{other, deviceDesktop, deviceMobile, deviceTablet, {}} {
		words[b.s] = true
	}
	for _, b := range BotReasons() {
		words[b.s] = true
	}
	agents := NewAgents(1 << 10)
	f.Fuzz(func(t *testing.T, ua, brands, mobile, platform, purpose []byte) {
		h := Hints{UserAgent: ua, Brands: brands, Mobile: mobile, Platform: platform, Purpose: purpose}
		a := agents.Parse(h)
		for _, b := range []Bucket{a.Device, a.Browser, a.OS, a.Bot} {
			if !words[b.s] {
				t.Fatalf("%q is of no closed list", b)
			}
		}
		if again := agents.Parse(h); again != a {
			t.Fatalf("first %v, then %v", a, again)
		}
		// What stands behind the limits has no say.
		h.UserAgent = append(cut(bytes.Clone(ua), maxAgentBytes), bytes.Repeat([]byte("x"), max(0, maxAgentBytes-len(ua)))...)
		longer := h
		longer.UserAgent = append(bytes.Clone(h.UserAgent), " Googlebot/2.1"...)
		if one, other := NewAgents(1).Parse(h), NewAgents(1).Parse(longer); one != other {
			t.Fatalf("%v, and with more behind it %v", one, other)
		}
	})
}

func BenchmarkDescribe(b *testing.B) {
	for name, ua := range map[string]string{
		"usual": people[4].ua,
		// The longest that is read of what takes the parsers longest: nesting, near misses of the crawler list and
		// of each rule.
		"brackets":    strings.Repeat("(", maxAgentBytes),
		"tokens":      strings.Repeat("a/1 ", maxAgentBytes/4),
		"near misses": strings.Repeat("Goog Bin Yand ", maxAgentBytes/14),
		"bots":        strings.Repeat("cubot ", maxAgentBytes/6),
		"mails":       "Mozilla/5.0 " + strings.Repeat("a@1.", maxAgentBytes/4),
		"compatible":  "Mozilla/5.0 (compatible; MSIE" + strings.Repeat(" TV", maxAgentBytes/3),
		"comments":    "Mozilla/5.0 (" + strings.Repeat("; U (", maxAgentBytes/5),
	} {
		h := Hints{UserAgent: cut([]byte(ua), maxAgentBytes)}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = describe(h)
			}
		})
	}
	agents, h := NewAgents(64), Hints{UserAgent: []byte(people[4].ua)}
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = agents.Parse(h)
		}
	})
}
