package privacy

import (
	"strings"

	"github.com/mssola/useragent"
)

// The words of the closed lists.
var (
	other = Bucket{"other"}

	deviceDesktop = Bucket{"desktop"}
	deviceMobile  = Bucket{"mobile"}
	deviceTablet  = Bucket{"tablet"}
	deviceTV      = Bucket{"tv"}
	deviceConsole = Bucket{"console"}

	osWindows  = Bucket{"windows"}
	osMacOS    = Bucket{"macos"}
	osIOS      = Bucket{"ios"}
	osAndroid  = Bucket{"android"}
	osLinux    = Bucket{"linux"}
	osChromeOS = Bucket{"chromeos"}

	chrome   = Bucket{"chrome"}
	edge     = Bucket{"edge"}
	firefox  = Bucket{"firefox"}
	opera    = Bucket{"opera"}
	samsung  = Bucket{"samsung-internet"}
	yandex   = Bucket{"yandex"}
	webview  = Bucket{"webview"}
	facebook = Bucket{"facebook"}
	tiktok   = Bucket{"tiktok"}
	duck     = Bucket{"duckduckgo"}
	silk     = Bucket{"silk"}
	whale    = Bucket{"whale"}
	vivaldi  = Bucket{"vivaldi"}
	brave    = Bucket{"brave"}
	uc       = Bucket{"uc"}
	miui     = Bucket{"miui"}
	huawei   = Bucket{"huawei"}
	safari   = Bucket{"safari"}
	naver    = Bucket{"naver"}
	ecosia   = Bucket{"ecosia"}
	avast    = Bucket{"avast"}
	avg      = Bucket{"avg"}
)

// devices are all classes of devices.
var devices = [...]Bucket{deviceDesktop, deviceMobile, deviceTablet, deviceTV, deviceConsole, other}

// DeviceOf takes the class of a device from a list that the shop kept; false when it is none of ours.
func DeviceOf(word []byte) (Bucket, bool) {
	for _, d := range devices {
		if d.s == string(word) {
			return d, true
		}
	}
	return Bucket{}, false
}

// rule names a bucket for user agents that contain a text.
type rule struct {
	text string
	is   Bucket
}

// browserRules come before mssola/useragent, which takes all of these for another browser. The first
// that is found counts: apps before the browsers they are built on.
var browserRules = []rule{
	{"Instagram", Bucket{"instagram"}},
	{"FBAN/", facebook},
	{"FBAV/", facebook},
	{"FB_IAB/", facebook},
	{"musical_ly", tiktok},
	{"BytedanceWebview", tiktok},
	{"TikTok", tiktok},
	{"Pinterest/", Bucket{"pinterest"}},
	{"Snapchat/", Bucket{"snapchat"}},
	{"MicroMessenger/", Bucket{"wechat"}},
	{" Line/", Bucket{"line"}},
	{"Twitter for ", Bucket{"twitter"}},
	{"TwitterAndroid", Bucket{"twitter"}},
	{"LinkedInApp", Bucket{"linkedin"}},
	{"KAKAOTALK", Bucket{"kakaotalk"}},
	{"NAVER(inapp", naver},
	{"GSA/", Bucket{"google-app"}},
	{"SamsungBrowser/", samsung},
	{"EdgiOS/", edge},
	{"EdgA/", edge},
	{"Edg/", edge},
	{"Edge/", edge},
	{"OPR/", opera},
	{"OPT/", opera},
	{"OPX/", opera},
	{"OPiOS/", opera},
	{"Opera Mini/", opera},
	{"YaBrowser/", yandex},
	{"YaApp_", yandex},
	{"YaSearchBrowser/", yandex},
	{"Vivaldi/", vivaldi},
	{"Brave/", brave},
	{" Brave", brave},
	{"Whale/", whale},
	{"DuckDuckGo/", duck},
	{"Ddg/", duck},
	{"(Ecosia ", ecosia},
	{" Avast/", avast},
	{" AVG/", avg},
	{"PlayStation", Bucket{"playstation"}},
	{"Nintendo", Bucket{"nintendo"}},
	{"Silk/", silk},
	{"UCBrowser/", uc},
	{"UCWEB/", uc},
	{"MiuiBrowser/", miui},
	{"HuaweiBrowser/", huawei},
	{"HeyTapBrowser/", Bucket{"heytap"}},
	{"VivoBrowser/", Bucket{"vivo"}},
	{"QQBrowser/", Bucket{"qq"}},
	{"coc_coc_browser/", Bucket{"coccoc"}},
	{"CriOS/", chrome},
	{"FxiOS/", firefox},
	{"Focus/", firefox},
	{"Klar/", firefox},
	{"; wv)", webview},
}

// parserNames maps what mssola/useragent says to the closed list.
var parserNames = map[string]Bucket{
	"Chrome": chrome, "Chromium": chrome, "Headless Chrome": chrome,
	"Firefox": firefox, "Safari": safari, "Edge": edge, "Opera": opera,
	"Internet Explorer": {"ie"}, "Android": webview, "Mobile App": webview,
}

func browserOf(ua string) Bucket {
	for _, r := range browserRules {
		if strings.Contains(ua, r.text) {
			return r.is
		}
	}
	if b, ok := parserNames[parserName(ua)]; ok {
		if b == safari && !isSafari(ua) {
			return webview
		}
		return b
	}
	return other
}

// isSafari tells Safari from an app on a telephone that shows pages with its engine: the app leaves a part
// of Safari's words out, or adds its own behind them.
func isSafari(ua string) bool {
	if !strings.Contains(ua, "Mobile/") {
		return true
	}
	last := ua[strings.LastIndexByte(ua, ' ')+1:]
	return strings.Contains(ua, "Version/") && strings.HasPrefix(last, "Safari/")
}

// parserName asks mssola/useragent. It slices by index in many places, and its input is anybody's.
func parserName(ua string) (name string) {
	defer func() {
		if recover() != nil {
			name = ""
		}
	}()
	name, _ = useragent.New(ua).Browser()
	return name
}

// osRules: the first that is found counts. Windows Phone claims to be Android and iPhone, an Xbox
// to be Windows, Android is a Linux, and everything on an iPhone is "like Mac OS X".
var osRules = []rule{
	{"Windows Phone", other},
	{"Xbox", other},
	{"Windows", osWindows},
	{"iPhone", osIOS},
	{"iPad", osIOS},
	{"iPod", osIOS},
	{"AppleTV", other},
	{"Apple TV", other},
	{"CriOS/", osIOS},
	{"FxiOS/", osIOS},
	{"EdgiOS/", osIOS}, // an iPad that shows desktop pages claims to be a Mac
	{"Tizen", other},
	{"Web0S", other},
	{"webOS", other},
	{"KAIOS", other},
	{"PlayStation", other},
	{"Nintendo", other},
	{"Android", osAndroid},
	{"CrOS", osChromeOS},
	{"Macintosh", osMacOS},
	{"Mac OS X", osMacOS},
	{"Linux", osLinux},
	{"X11", osLinux},
}

func osOf(ua string) Bucket {
	if strings.Contains(ua, "Macintosh") && strings.Contains(ua, "Mobile/") {
		return osIOS // no Mac is mobile: an iPad that shows desktop pages
	}
	for _, r := range osRules {
		if strings.Contains(ua, r.text) {
			return r.is
		}
	}
	return other
}

// deviceRules are for devices that no system's name gives away.
var deviceRules = []rule{
	{"Web0S", deviceTV},
	{"AppleTV", deviceTV},
	{"BRAVIA", deviceTV},
	{"CrKey", deviceTV},
	{"Roku", deviceTV},
	{"; AFT", deviceTV},
	{"PlayStation", deviceConsole},
	{"Xbox", deviceConsole},
	{"Nintendo", deviceConsole},
	{"Windows Phone", deviceMobile},
	{"iPhone", deviceMobile},
	{"iPod", deviceMobile},
	{"iPad", deviceTablet},
	{"Opera Mini/", deviceMobile},
	{"Opera Mobi", deviceMobile},
	{"KAIOS", deviceMobile},
	{"BlackBerry", deviceMobile},
	{"BB10", deviceMobile},
	{"Kindle", deviceTablet},
	{"PlayBook", deviceTablet},
}

func deviceOf(ua string, os Bucket) Bucket {
	for _, r := range deviceRules {
		if strings.Contains(ua, r.text) {
			return r.is
		}
	}
	if saysTV(ua) {
		return deviceTV
	}
	mobile := strings.Contains(ua, "Mobile")
	switch os {
	case osAndroid:
		if mobile && !strings.Contains(ua, "Tablet") {
			return deviceMobile
		}
		return deviceTablet // Android without "Mobile" is a tablet, by Google's own rule
	case osIOS:
		return deviceTablet // the Mac that is an iPad
	case osWindows, osMacOS, osLinux, osChromeOS:
		return deviceDesktop
	}
	if mobile {
		return deviceMobile
	}
	return other
}

// saysTV finds the word TV, as in "SMART-TV", "Android TV", "SMART_TV" or "HbbTV/1.5". It is none inside the
// name of a model ("BTV-W09", "KTV", "TVM"), which is written in capitals and digits.
func saysTV(ua string) bool {
	for i := 0; ; {
		n := strings.Index(ua[i:], "TV")
		if n < 0 {
			return false
		}
		before, after := i+n-1, i+n+2
		isBegin := before < 0 || !isWordByte(rune(ua[before])) || ua[before] >= 'a'
		if isBegin && (after == len(ua) || !isWordByte(rune(ua[after]))) {
			return true
		}
		i = after
	}
}
