package loader

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"

	"beckon/internal/spool"
)

// deadLetter is one line of the dead-letter file. The record holds reduced values only, like
// everything that was ever in the spool.
type deadLetter struct {
	Batch    string `json:"batch"`
	Sequence uint64 `json:"sequence"`
	Reason   string `json:"reason"`
	Record   string `json:"record"` // base64
}

// bury appends the refused records of a batch to the dead-letter file and makes them durable. A
// batch that is tried again after a restart is buried again: lines are told apart by batch and
// sequence.
func (l *Loader) bury(id spool.BatchID, refused []refusal) error {
	if len(refused) == 0 {
		return nil
	}
	f, err := os.OpenFile(l.DeadLetter, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open dead-letter file: %w", err)
	}
	defer f.Close()
	lines := json.NewEncoder(f)
	for _, r := range refused {
		l.Log.Error("record is no row, kept in the dead-letter file", "table", l.Table.name(), "batch", id.Token(), "sequence", r.sequence, "reason", r.reason)
		line := deadLetter{id.Token(), r.sequence, r.reason.Error(), base64.StdEncoding.EncodeToString(r.record)}
		if err := lines.Encode(line); err != nil {
			return fmt.Errorf("write dead-letter file: %w", err)
		}
	}
	l.m.refused.Add(float64(len(refused)))
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync dead-letter file: %w", err)
	}
	return nil
}
