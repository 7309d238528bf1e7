package offer

import (
	"sync"
	"time"
)

// Uses remembers which offers were used.
type Uses interface {
	// Claim takes a jti for an order and reports whether it was free. It does both in one step, or two
	// orders that race with one token both get the discount. It may be forgotten after until.
	//
	// In SQL: a table with the jti as its primary key, in the database of the orders, and
	//	INSERT INTO beckon_uses (jti, until) VALUES ($1, $2) ON CONFLICT DO NOTHING
	// in the transaction that writes the order; no row inserted means used.
	Claim(jti string, until time.Time) (first bool, err error)
}

// Redeem uses the offer up, for one order. Call it when the order is written, not when the cart is shown.
func (o *Offer) Redeem(uses Uses) error {
	first, err := uses.Claim(o.JTI, time.Unix(o.ExpiresAt, 0).Add(Skew))
	if err == nil && !first {
		return Used
	}
	return err
}

// Memory keeps uses of one process: for tests and for a shop without orders to lose.
type Memory struct {
	Now func() time.Time

	mu    sync.Mutex
	until map[string]time.Time
}

// Claim implements Uses.
func (m *Memory) Claim(jti string, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, end := range m.until {
		if m.Now().After(end) {
			delete(m.until, id)
		}
	}
	if _, used := m.until[jti]; used {
		return false, nil
	}
	if m.until == nil {
		m.until = map[string]time.Time{}
	}
	m.until[jti] = until
	return true, nil
}
