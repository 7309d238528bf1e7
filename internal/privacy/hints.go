package privacy

import "bytes"

// brands are the names in Sec-CH-UA that say more than "Chromium". Everything else in it is the invented
// brand that changes with each release (GREASE), or a brand too small for a bucket.
var brands = map[string]Bucket{
	"Google Chrome": chrome, "Microsoft Edge": edge, "Microsoft Edge WebView2": edge,
	"Opera": opera, "Opera GX": opera, "OperaMobile": opera, "Opera Mini Android": opera,
	"Samsung Internet": samsung, "Yandex": yandex, "YaBrowser": yandex, "Brave": brave, "Vivaldi": vivaldi,
	"DuckDuckGo": duck, "Whale": whale, "Naver Whale": whale, "Amazon Silk": silk, "HuaweiBrowser": huawei, "Miui Browser": miui,
	"Ecosia": ecosia, "Avast Secure Browser": avast, "AVG Secure Browser": avg, "Android WebView": webview,
}

// platforms are the values of Sec-CH-UA-Platform.
var platforms = map[string]Bucket{
	"Windows": osWindows, "macOS": osMacOS, "iOS": osIOS, "Android": osAndroid, "Linux": osLinux,
	"Chrome OS": osChromeOS, "Chromium OS": osChromeOS,
}

// That hints and user agent contradict each other is no sign of a bot here: a telephone that asks for desktop
// pages, a browser's own device emulation and every user-agent switcher do it, and there is no list of real pairs
// by which to count the people who would be taken for one.

// brandFamily reads Sec-CH-UA, an RFC 8941 list of strings with parameters:
//
//	"Not.A/Brand";v="99", "Google Chrome";v="142", "Chromium";v="142"
//
// ok is false when no known brand is in it or any part is malformed: the RFC wants such a field ignored
// as a whole. A brand of its own wins over Google Chrome and Android WebView, which others list beside theirs.
func brandFamily(list []byte) (family Bucket, ok bool) {
	b := trimOWS(list)
	for len(b) > 0 {
		name, rest, valid := cutString(b)
		if !valid {
			return Bucket{}, false
		}
		if rest, valid = skipParameters(rest); !valid {
			return Bucket{}, false
		}
		if brand, known := brands[string(name)]; known && (!ok || isGeneric(family)) {
			family, ok = brand, true
		}
		rest = trimOWS(rest)
		if len(rest) == 0 {
			return family, ok
		}
		if rest[0] != ',' {
			return Bucket{}, false
		}
		b = trimOWS(rest[1:])
	}
	return Bucket{}, false // empty, or a comma at the end
}

// isGeneric tells what many browsers and apps are made of.
func isGeneric(family Bucket) bool { return family == chrome || family == webview }

// parseString reads a field that is one RFC 8941 string.
func parseString(b []byte) ([]byte, bool) {
	s, rest, ok := cutString(trimOWS(b))
	if !ok {
		return nil, false
	}
	rest, ok = skipParameters(rest)
	return s, ok && len(trimOWS(rest)) == 0
}

// cutString reads a quoted string of printable ASCII. A string with an escape in it is valid, but no name
// that we know has one, so it comes back as written.
func cutString(b []byte) (s, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return b[1:i], b[i+1:], true
		case c == '\\':
			if i++; i == len(b) || b[i] != '"' && b[i] != '\\' {
				return nil, nil, false
			}
		case c < ' ' || c > '~':
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// skipParameters skips any number of ;key, ;key=token and ;key="string".
func skipParameters(b []byte) (rest []byte, ok bool) {
	for len(b) > 0 && b[0] == ';' {
		b = bytes.TrimLeft(b[1:], " ")
		n := bareLength(b)
		if n == 0 {
			return nil, false
		}
		b = b[n:]
		if len(b) == 0 || b[0] != '=' {
			continue
		}
		b = b[1:]
		if len(b) > 0 && b[0] == '"' {
			if _, b, ok = cutString(b); !ok {
				return nil, false
			}
			continue
		}
		if n = bareLength(b); n == 0 {
			return nil, false
		}
		b = b[n:]
	}
	return b, true
}

// bareLength is the length of a key, token, number or boolean at the beginning of b.
func bareLength(b []byte) int {
	n := bytes.IndexFunc(b, func(r rune) bool {
		return !isWordByte(r) && !bytes.ContainsRune([]byte("_-.*?:/+%!#$&'^`|~"), r)
	})
	if n < 0 {
		return len(b)
	}
	return n
}

func trimOWS(b []byte) []byte { return bytes.Trim(b, " \t") }
