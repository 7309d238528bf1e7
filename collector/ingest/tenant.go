package ingest

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"beckon/internal/cookie"
	"beckon/internal/daykey"
	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/limit"
	"beckon/internal/privacy"
	"beckon/internal/site"
)

// tenant is a site with all that a request for it needs, made once per sites file.
type tenant struct {
	site                      *site.Site
	keys                      *keyring.Site
	id, environment, currency privacy.Bucket
	fingerprints              cipher.Block
	names                     cookie.Names
	links                     *privacy.Links
	rate                      *limit.Bucket
	days                      *daykey.Site // keys of lane measure; nil = none
	outcomes                  [reasonCount]prometheus.Counter
}

// tenants finds the tenant of a request in the sites file that is in force. Safe for concurrent use.
type tenants struct {
	sites    Sites
	keys     Keys
	days     *daykey.Keys           // nil = no keys of lane measure
	outcomes *prometheus.CounterVec // by site and outcome

	perSecond int // events of one site; 0 = no limit

	current atomic.Pointer[roster]
	mu      sync.Mutex // of building the next one
}

// roster is the tenants of one sites file. It never changes.
type roster struct {
	file *site.File
	byID map[string]*tenant
	errs map[string]error // why a site has no tenant
}

// err lists every site that has no tenant.
func (c *roster) err() error {
	return errors.Join(slices.Collect(maps.Values(c.errs))...)
}

// find returns nil for a site that no sites file knows, and an error for one whose keys are missing.
func (ts *tenants) find(id []byte) (*tenant, error) {
	c := ts.now()
	if t := c.byID[string(id)]; t != nil {
		return t, nil
	}
	return nil, c.errs[string(id)]
}

// now returns the roster of the file in force, made anew when that has changed.
func (ts *tenants) now() *roster {
	file := ts.sites.File()
	if c := ts.current.Load(); c != nil && c.file == file {
		return c
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if c := ts.current.Load(); c != nil && c.file == file {
		return c
	}
	c := &roster{file: file, byID: make(map[string]*tenant), errs: make(map[string]error)}
	for _, st := range file.Sites {
		t, err := ts.admit(st)
		if err != nil {
			c.errs[st.ID] = err
			continue
		}
		if before := ts.before(st.ID); before != nil {
			t.rate = before.rate // an edit of the sites file gives nobody a second burst
		}
		c.byID[st.ID] = t
	}
	ts.current.Store(c)
	return c
}

// before is the tenant of the roster that is replaced, or nil.
func (ts *tenants) before(id string) *tenant {
	if c := ts.current.Load(); c != nil {
		return c.byID[id]
	}
	return nil
}

func (ts *tenants) admit(st *site.Site) (*tenant, error) {
	keys, err := ts.keys.Site(st.ID)
	if err != nil {
		return nil, fmt.Errorf("keys of site %s: %w", st.ID, err)
	}
	secret := privacy.KeyedID(&keys.MAC, "duplicate", []byte(st.ID)).Bytes()
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		return nil, fmt.Errorf("fingerprints of site %s: %w", st.ID, err)
	}
	links, err := privacy.NewLinks(keys)
	if err != nil {
		return nil, fmt.Errorf("links of site %s: %w", st.ID, err)
	}
	t := &tenant{
		site: st, keys: keys, fingerprints: block, names: cookie.NamesOf(st), links: links, rate: limit.NewBucket(ts.perSecond, limitBurst),
		id: privacy.NewBucket(st.ID), environment: privacy.NewBucket(st.Environment), currency: privacy.NewBucket(st.Currency),
	}
	if ts.days != nil {
		t.days = ts.days.Site(st.ID)
	}
	for r := range t.outcomes {
		if r == int(Taken) || reasons[r].event {
			t.outcomes[r] = ts.outcomes.WithLabelValues(st.ID, outcome(Reason(r)))
		}
	}
	return t, nil
}

// stamp fills what every event of the tenant has, from whomever it comes.
func (t *tenant) stamp(e *event.Event, received int64) {
	e.Site, e.Environment = t.id, t.environment
	e.ReceivedAt = received
	e.ExpiresDay = day(e.OccurredAt, t.site.Events)
	e.ProfileExpiresDay = day(e.OccurredAt, t.site.Profiles)
}
