package loader

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

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
	f, err := os.OpenFile(l.DeadLetter, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open dead-letter file: %w", err)
	}
	defer f.Close()
	if err := l.hasRoom(f); err != nil {
		return err
	}
	if err := endLine(f); err != nil {
		return err
	}
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

// maxDeadLetters is the size of the file beyond which nothing is added to it, some 200,000 records. They are
// acknowledged events, so none is thrown away: the batch waits, as does everything that cannot be done.
const maxDeadLetters = 64 << 20

func (l *Loader) hasRoom(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("size of dead-letter file: %w", err)
	}
	l.m.letterBytes.Set(float64(info.Size()))
	if info.Size() >= l.MaxDeadLetters {
		return fmt.Errorf("the dead-letter file has %d bytes, its bound is %d: find out why records are no rows, and move %s away", info.Size(), l.MaxDeadLetters, l.DeadLetter)
	}
	return nil
}

// endLine ends a line that a crash or a full disk has cut short, so that the next one stays readable.
func endLine(f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("size of dead-letter file: %w", err)
	}
	if size == 0 {
		return nil
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, size-1); err != nil {
		return fmt.Errorf("read the end of the dead-letter file: %w", err)
	}
	if last[0] == '\n' {
		return nil
	}
	if _, err := f.WriteString("\n"); err != nil {
		return fmt.Errorf("end a torn line of the dead-letter file: %w", err)
	}
	return nil
}

// deadLetterLines counts the refused records of a batch by site, in the batch's last minute.
func deadLetterLines(b *spool.Batch, refused []refusal) ([]spool.LedgerLine, error) {
	if len(refused) == 0 {
		return nil, nil
	}
	of := map[uint64]bool{}
	for _, r := range refused {
		of[r.sequence] = true
	}
	sites, err := b.Sites(of)
	if err != nil {
		return nil, err
	}
	var lines []spool.LedgerLine
	for site, n := range sites {
		lines = append(lines, spool.LedgerLine{Site: site, Minute: b.Last.UTC().Truncate(time.Minute), Reason: "dead-letter", N: n})
	}
	return lines, nil
}
