package event

// Kind says what happened. The numbers are written to disk: append, never renumber.
type Kind uint8

// The kinds: those that a browser may send, and two that it may not.
const (
	KindNone Kind = iota
	PageView
	ProductView
	CollectionView
	Search
	CartView
	CartAdd
	CartRemove
	CheckoutStart
	Purchase
	OfferShown
	OfferAccepted
	OfferDismissed
	Refund  // from a shop's server only
	Consent // made by the collector when a visitor's choice changes; never sent by anybody
)

var kindNames = [...]string{
	PageView: "page_view", ProductView: "product_view", CollectionView: "collection_view", Search: "search",
	CartView: "cart_view", CartAdd: "cart_add", CartRemove: "cart_remove", CheckoutStart: "checkout_start",
	Purchase: "purchase", OfferShown: "offer_shown", OfferAccepted: "offer_accepted",
	OfferDismissed: "offer_dismissed", Refund: "refund", Consent: "consent",
}

var kindByName = func() map[string]Kind {
	m := make(map[string]Kind, len(kindNames))
	for k, name := range kindNames {
		if name != "" {
			m[name] = Kind(k)
		}
	}
	return m
}()

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return ""
}

// Expendable reports whether events of this kind are given up first when there is hardly room for more: what a
// visitor looked at, the bulk of all events. Without some of them counts are too low for a while. Without a cart,
// an order, an offer's fate or a choice, money or consent would be wrong for good.
func (k Kind) Expendable() bool {
	switch k {
	case PageView, ProductView, CollectionView, Search, CartView:
		return true
	}
	return false
}

// ParseKind returns the kind a sender may use, KindNone for any other word. A refund is a kind
// only for trusted senders.
func ParseKind(name []byte, trusted bool) Kind {
	k := kindByName[string(name)]
	if k == Consent || k == Refund && !trusted {
		return KindNone
	}
	return k
}

// Source says who told us about an event. Money decisions trust Server and Import only.
type Source uint8

// The sources. The numbers are written to disk: append, never renumber.
const (
	SourceNone      Source = iota
	SourcePixel            // GET /p.gif
	SourceBeacon           // POST /e
	SourceServer           // POST /v1/events with a server key
	SourceImport           // beckon-collector import
	SourceCollector        // the collector itself: a Consent event
)

var sourceNames = [...]string{"", "pixel", "beacon", "server", "import", "collector"}

func (s Source) String() string {
	if int(s) < len(sourceNames) {
		return sourceNames[s]
	}
	return ""
}

// Limits of the wire contract (docs/design.md).
const (
	MaxBodyBytes   = 64 << 10 // browsers send no more in a keepalive fetch
	MaxBatchEvents = 100
	MaxStringBytes = 512
	MaxItems       = 50
	MaxQuantity    = 1_000_000
)
