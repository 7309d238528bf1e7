package rig

import (
	"bufio"
	"strings"
	"testing"

	"beckon/internal/event"
	"beckon/internal/keyring"
)

func TestRequestsOfAScriptAreSomebodyElsesEachTime(t *testing.T) {
	keys := &keyring.Site{ID: Site, MAC: keyring.Key{1}, Decide: []keyring.Epoch{{Number: 1, Key: keyring.Key{2}}}}
	traffic, err := NewTraffic("127.0.0.1:1", keys, 1, 2000, 20)
	if err != nil {
		t.Fatal(err)
	}
	ids, cookies, n := make(map[string]bool), make(map[string]int), int64(0)
	for pass := range uint32(2) {
		for i := range traffic.script {
			r := &traffic.script[i]
			b := traffic.write(nil, r, n, pass)
			n++
			if len(b) != len(r.Bytes) {
				t.Fatalf("%d bytes of %d", len(b), len(r.Bytes))
			}
			for _, at := range r.IDs {
				id := b[at : at+36]
				if _, ok := event.ParseUUID(id); !ok || ids[string(id)] {
					t.Fatalf("id %s is none, or was sent before", id)
				}
				ids[string(id)] = true
			}
			if r.Cookie > 0 {
				cookies[string(b[r.Cookie:r.Cookie+63])] = r.Shopper
			}
		}
	}
	people := make(map[int]bool)
	for _, shopper := range cookies {
		people[shopper] = true
	}
	if len(people) == 0 || len(cookies) < 2*len(people) {
		t.Errorf("%d cookies of %d shoppers in two passes", len(cookies), len(people))
	}
}

func TestReadReply(t *testing.T) {
	in := bufio.NewReader(strings.NewReader("HTTP/1.1 204 No Content\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\nConnection: close\r\n\r\nabc"))
	if status, body, closed, err := readReply(in); status != 204 || len(body) != 0 || closed || err != nil {
		t.Errorf("%d %q %v %v", status, body, closed, err)
	}
	if status, body, closed, err := readReply(in); status != 200 || string(body) != "abc" || !closed || err != nil {
		t.Errorf("%d %q %v %v", status, body, closed, err)
	}
	if _, _, _, err := readReply(in); err == nil {
		t.Error("no error at the end")
	}
}
