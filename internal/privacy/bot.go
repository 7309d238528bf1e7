package privacy

import "bytes"

// The reasons for which a request counts as a program's.
var (
	botCrawler  = Bucket{"crawler"}
	botTool     = Bucket{"tool"}
	botHeadless = Bucket{"headless"}
	botNoAgent  = Bucket{"no-user-agent"}
	botPrefetch = Bucket{"prefetch"}
	botDriven   = Bucket{"webdriver"}
)

// headlessBrand is Google Chrome's brand without a window.
var headlessBrand = []byte(`"HeadlessChrome"`)

// BotReasons lists the reasons.
func BotReasons() []Bucket {
	return []Bucket{botCrawler, botTool, botHeadless, botNoAgent, botPrefetch, botDriven}
}

// What names none of these anywhere (an app puts its own name first), and is not of the telephones below, is a
// library, a script or an app's own HTTP client.
var (
	browserNames  = [][]byte{[]byte("Mozilla/"), []byte("Opera/"), []byte("AppleWebKit")}
	browserBegins = [][]byte{
		[]byte("Dalvik/"), []byte("UCWEB/"), []byte("BlackBerry"), []byte("Nokia"), []byte("SAMSUNG"), []byte("SonyEricsson"), []byte("MOT-"), []byte("LG"),
	}
)

// programWords are what programs call themselves, in lower case. None of them is part of a browser's name:
// TestPeopleAreNotCalledBots holds them against some ten thousand browsers.
var programWords = indexOf(botCrawler,
	// what they do
	"crawl", "crwlr", "spider", "scrape", "fetch", "monitor", "scanner", "checker", "validator", "analyzer", "analyser", "extractor",
	"archiver", "survey", "preview", "screenshot", "thumbnail", "webthumb", "favicon", "wkhtml", "webkit2png", "page speed", "pagespeed",
	"http client", "httpclient", "google-", "agent/",
	// whom to ask about it: no browser carries an address
	"http://", "https://", "mailto:",
)

func indexOf(reason Bucket, texts ...string) *crawlerIndex {
	x := &crawlerIndex{strings: make(map[[3]byte][]crawlerString)}
	for _, text := range texts {
		x.add(crawlerString{text: text, reason: reason})
	}
	return x
}

// botReason returns why ua is a program's, or an empty bucket. ua is not empty.
func botReason(ua []byte) Bucket {
	if bytes.Contains(ua, []byte("Headless")) {
		return botHeadless
	}
	if reason := crawlers.match(ua); reason != (Bucket{}) {
		return reason
	}
	var stack [maxAgentBytes]byte
	low := appendLower(stack[:0], ua)
	if programWords.match(low) != (Bucket{}) || hasWordEnd(low, "bot") || hasMail(low) || isOnlyCompatible(low) {
		return botCrawler
	}
	for _, name := range browserNames {
		if bytes.Contains(ua, name) {
			return Bucket{}
		}
	}
	for _, begin := range browserBegins {
		if bytes.HasPrefix(ua, begin) {
			return Bucket{}
		}
	}
	return botTool
}

// hasWordEnd finds a word that ends in end. Telephones are let through: those of Cubot, and any model
// ("ID bot 53 Build/NRD90M").
func hasWordEnd(low []byte, end string) bool {
	for {
		i := bytes.Index(low, []byte(end))
		if i < 0 {
			return false
		}
		before, after := low[:i], low[i+len(end):]
		part := after
		if n := bytes.IndexAny(part, ";)"); n >= 0 {
			part = part[:n]
		}
		isEnd := len(after) == 0 || after[0] < 'a' || after[0] > 'z'
		if isEnd && !bytes.HasSuffix(before, []byte("cu")) && !bytes.Contains(part, []byte(" build/")) {
			return true
		}
		low = after
	}
}

// hasMail finds an e-mail address, by which the owner of a crawler wants to be reached. ("android@150.0.0.0"
// is how Ecosia, a browser, writes its version.)
func hasMail(low []byte) bool {
	for {
		i := bytes.IndexByte(low, '@')
		if i < 0 {
			return false
		}
		host := low[i+1:]
		if n := bytes.IndexFunc(host, func(r rune) bool { return !isWordByte(r) && r != '-' && r != '.' }); n >= 0 {
			host = host[:n]
		}
		dot := bytes.IndexByte(host, '.')
		if i > 0 && isWordByte(rune(low[i-1])) && dot > 0 && dot+1 < len(host) && host[dot+1] >= 'a' {
			return true
		}
		low = low[i+1:]
	}
}

// engines are the words of one of which every browser has that calls itself "compatible".
var engines = [][]byte{[]byte("msie"), []byte("trident"), []byte("konqueror"), []byte("opera"), []byte("applewebkit"), []byte("gecko/")}

// isOnlyCompatible knows "Mozilla/5.0 (compatible; Name/1.0)", which is how crawlers introduce themselves.
func isOnlyCompatible(low []byte) bool {
	if !bytes.Contains(low, []byte("compatible")) {
		return false
	}
	for _, engine := range engines {
		if bytes.Contains(low, engine) {
			return false
		}
	}
	return true
}

func appendLower(dst, src []byte) []byte {
	for _, c := range src {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
