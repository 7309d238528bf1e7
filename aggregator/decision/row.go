package decision

import (
	"encoding/json"
	"fmt"
	"time"

	"beckon/internal/loader"
)

// Row is one row of the decisions table, and the record that stands for it in the spool (as JSON:
// these records are few, and an operator can read them). Ids are keyed hashes; instants are Unix
// milliseconds, 0 = none.
type Row struct {
	Site         string            `json:"site"`
	Environment  string            `json:"environment"`
	DecidedAt    int64             `json:"decided_at"`
	DecisionID   [16]byte          `json:"decision_id"`
	Visitor      [16]byte          `json:"visitor"`
	Session      [16]byte          `json:"session"`
	Lane         string            `json:"lane"`
	Offer        string            `json:"offer"`
	Rule         string            `json:"rule"`
	Arm          string            `json:"arm"`
	Experiment   int               `json:"experiment"` // of the offer, and the share of its holdout, at that time
	Holdout      float64           `json:"holdout"`
	Reason       string            `json:"reason"`
	Eligible     bool              `json:"eligible"`
	FirstServe   bool              `json:"first_serve"` // the first time this grant or holdout draw was answered
	Personalised bool              `json:"personalised"`
	ValidUntil   int64             `json:"valid_until"`
	FreshAt      int64             `json:"fresh_at"`
	Gates        []Gate            `json:"gates"`
	Features     map[string]string `json:"features"` // what the rules read
	Repeats      uint32            `json:"repeats"`  // further answers like this one in the same minute
	ExpiresDay   uint16            `json:"expires_day"`
}

// Gate is one step of a verdict, as it went.
type Gate struct {
	Gate   string `json:"gate"`
	Offer  string `json:"offer"`
	Pass   bool   `json:"pass"`
	Detail string `json:"detail"`
}

// Table says how the loader turns decision records into rows.
func Table() *loader.Table[Row] {
	return &loader.Table[Row]{
		Name: "decisions",
		Decode: func(record []byte, row *Row) error {
			if err := json.Unmarshal(record, row); err != nil {
				return fmt.Errorf("bad decision record of %d bytes: %w", len(record), err)
			}
			return nil
		},
		Columns: []loader.Column[Row]{
			loader.Col("site", func(r *Row) string { return r.Site }),
			loader.Col("environment", func(r *Row) string { return r.Environment }),
			loader.Col("decided_at", func(r *Row) int64 { return r.DecidedAt }),
			loader.IDCol("decision_id", func(r *Row) [16]byte { return r.DecisionID }),
			loader.IDCol("visitor", func(r *Row) [16]byte { return r.Visitor }),
			loader.IDCol("session", func(r *Row) [16]byte { return r.Session }),
			loader.Col("lane", func(r *Row) string { return r.Lane }),
			loader.Col("offer", func(r *Row) string { return r.Offer }),
			loader.Col("rule", func(r *Row) string { return r.Rule }),
			loader.Col("arm", func(r *Row) string { return r.Arm }),
			loader.Col("experiment", func(r *Row) uint32 { return uint32(r.Experiment) }),
			loader.Col("holdout", func(r *Row) float64 { return r.Holdout }),
			loader.Col("reason", func(r *Row) string { return r.Reason }),
			loader.Col("eligible", func(r *Row) uint8 { return bit(r.Eligible) }),
			loader.Col("first_serve", func(r *Row) uint8 { return bit(r.FirstServe) }),
			loader.Col("personalised", func(r *Row) uint8 { return bit(r.Personalised) }),
			loader.Col("valid_until", func(r *Row) int64 { return r.ValidUntil }),
			loader.Col("fresh_at", func(r *Row) int64 { return r.FreshAt }),
			loader.Col("gates", func(r *Row) [][]any { return gateTuples(r.Gates) }),
			loader.Col("features", func(r *Row) map[string]string { return r.Features }),
			loader.Col("repeats", func(r *Row) uint32 { return r.Repeats }),
			loader.Col("expires", func(r *Row) time.Time { return time.Unix(int64(r.ExpiresDay)*24*60*60, 0).UTC() }),
		},
	}
}

func gateTuples(gates []Gate) [][]any {
	tuples := make([][]any, len(gates))
	for i, g := range gates {
		name := g.Gate
		if g.Offer != "" {
			name = g.Offer + ": " + g.Gate
		}
		tuples[i] = []any{name, bit(g.Pass), g.Detail}
	}
	return tuples
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}
