package shoppers

// agent is a browser, or a program, as its headers show it.
type agent struct {
	name     string // User-Agent
	brands   string // Sec-CH-UA; only browsers made of Chromium send it
	mobile   string // Sec-CH-UA-Mobile
	platform string // Sec-CH-UA-Platform
	weight   int    // how common it is among its like
	gpc      int    // percent of its users that send Sec-GPC
}

const (
	chromeBrands  = `"Google Chrome";v="154", "Chromium";v="154", "Not_A Brand";v="24"`
	edgeBrands    = `"Microsoft Edge";v="154", "Chromium";v="154", "Not_A Brand";v="24"`
	braveBrands   = `"Brave";v="154", "Chromium";v="154", "Not_A Brand";v="24"`
	operaBrands   = `"Opera";v="138", "Chromium";v="152", "Not_A Brand";v="8"`
	samsungBrands = `"Samsung Internet";v="30.0", "Chromium";v="146", "Not.A/Brand";v="99"`
)

// browsers are what people shop with. Names are as browsers send them today: versions cut to the major
// one, macOS and Android frozen.
var browsers = []agent{
	{"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Mobile Safari/537.36", chromeBrands, "?1", `"Android"`, 240, 0},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1", "", "", "", 170, 0},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1", "", "", "", 50, 0},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_6_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1", "", "", "", 25, 0},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36", chromeBrands, "?0", `"Windows"`, 170, 1},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/153.0.0.0 Safari/537.36", `"Google Chrome";v="153", "Chromium";v="153", "Not(A:Brand";v="8"`, "?0", `"Windows"`, 30, 1},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36", chromeBrands, "?0", `"macOS"`, 60, 1},
	{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36", chromeBrands, "?0", `"Linux"`, 8, 3},
	{"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36", chromeBrands, "?0", `"Chrome OS"`, 6, 0},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15", "", "", "", 55, 0},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15", "", "", "", 15, 0},
	{"Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1", "", "", "", 8, 0},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36 Edg/154.0.0.0", edgeBrands, "?0", `"Windows"`, 65, 0},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36 Edg/154.0.0.0", edgeBrands, "?0", `"macOS"`, 5, 0},
	{"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Mobile Safari/537.36 EdgA/154.0.0.0", edgeBrands, "?1", `"Android"`, 4, 0},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:157.0) Gecko/20100101 Firefox/157.0", "", "", "", 28, 18},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:157.0) Gecko/20100101 Firefox/157.0", "", "", "", 7, 18},
	{"Mozilla/5.0 (X11; Linux x86_64; rv:157.0) Gecko/20100101 Firefox/157.0", "", "", "", 8, 25},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "", "", "", 6, 12},
	{"Mozilla/5.0 (Android 15; Mobile; rv:157.0) Gecko/157.0 Firefox/157.0", "", "", "", 6, 20},
	{"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/30.0 Chrome/146.0.0.0 Mobile Safari/537.36", samsungBrands, "?1", `"Android"`, 32, 0},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/152.0.0.0 Safari/537.36 OPR/138.0.0.0", operaBrands, "?0", `"Windows"`, 14, 0},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36", braveBrands, "?0", `"Windows"`, 10, 100},
	{"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Mobile Safari/537.36", braveBrands, "?1", `"Android"`, 8, 100},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/154.0.7890.40 Mobile/15E148 Safari/604.1", "", "", "", 18, 0},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/157.0 Mobile/15E148 Safari/605.1.15", "", "", "", 3, 0},
}

// programs are the others that come. None keeps cookies.
var programs = []agent{
	{name: "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/154.0.0.0 Safari/537.36", weight: 40},
	{name: "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/136.0.0.0 Safari/537.36", weight: 20},
	{name: "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)", weight: 15},
	{name: "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", weight: 10},
	{name: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/154.0.0.0 Safari/537.36", weight: 10},
	{name: "python-requests/2.32.5", weight: 5},
}
