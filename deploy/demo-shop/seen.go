package demoshop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// maxSeenBytes bounds the aggregator's answer; features, gates and ids take about 3 KiB.
const maxSeenBytes = 64 << 10

// seen answers the panel "What Beckon sees": what the aggregator knows of the visitor whose cookie
// this is. A real shop has no such route. It exists in dev mode and for loopback peers only (onlyDev),
// because the aggregator's admin port must never be reachable from outside.
func (s *shop) seen(w http.ResponseWriter, r *http.Request) {
	if s.AggregatorAdmin == nil {
		http.NotFound(w, r)
		return
	}
	body, err := s.askAdmin(r)
	if err != nil {
		s.Log.Debug("the panel has nothing to show", "error", err)
		writeJSON(w, http.StatusBadGateway, map[string]string{
			"error":  "not-known",
			"detail": "The aggregator's admin port does not answer.",
		})
		return
	}
	writeJSON(w, http.StatusOK, body)
}

func (s *shop) askAdmin(r *http.Request) (json.RawMessage, error) {
	u := s.AggregatorAdmin.JoinPath("dev", "visitor")
	u.RawQuery = url.Values{"site": {s.Site}}.Encode()
	ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask the aggregator's admin port: %w", err)
	}
	ask.Header["Cookie"] = r.Header["Cookie"]
	for _, signal := range []string{"Sec-Gpc", "Dnt", "User-Agent"} { // they lower the lane or make a bot
		if v := r.Header.Get(signal); v != "" {
			ask.Header.Set(signal, v)
		}
	}
	keepBeckonCookies(ask)
	reply, err := s.admin.Do(ask)
	if err != nil {
		return nil, fmt.Errorf("ask the aggregator's admin port: %w", err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(io.LimitReader(reply.Body, maxSeenBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read what the aggregator knows: %w", err)
	case reply.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("ask the aggregator's admin port: status %d", reply.StatusCode)
	case len(body) > maxSeenBytes:
		return nil, fmt.Errorf("read what the aggregator knows: more than %d bytes", maxSeenBytes)
	case !json.Valid(body):
		return nil, errors.New("read what the aggregator knows: not JSON")
	}
	return body, nil
}

// writeJSON answers with a value that must not be kept by any cache.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("BUG: a reply cannot be encoded: " + err.Error())
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // an error means that the peer is gone
}
