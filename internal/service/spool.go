package service

import (
	"context"
	"errors"
	"log/slog"

	"beckon/internal/loader"
	"beckon/internal/spool"
)

// LoadUntil brings a spool to ClickHouse until ctx ends. What was appended until then is sealed and
// brought there too, as far as the deadline reaches; the rest waits on disk for the next start.
func LoadUntil(ctx context.Context, l *loader.Loader, s *spool.Spool, stop *Deadline) error {
	if err := l.Run(ctx); err != nil {
		return err
	}
	if err := s.Seal(); err != nil {
		return err
	}
	ctx, cancel := stop.Context()
	defer cancel()
	return l.Drain(ctx)
}

// FailedSpool ends the service when the spool's disk has failed: nothing more can be accepted, and
// only a new start can find out what is really there.
func FailedSpool(ctx context.Context, s *spool.Spool) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.Failed():
		return errors.New("the spool's disk failed, see the log above: nothing more can be accepted; start again when it is in order")
	}
}

// SpoolReady is the readiness of a spool.
func SpoolReady(s *spool.Spool) error {
	select {
	case <-s.Failed():
		return errors.New("the disk failed")
	default:
		return nil
	}
}

// CloseSpool ends a service's spool and says what is left for the next start.
func CloseSpool(s *spool.Spool, log *slog.Logger) {
	left := s.Stats()
	if err := s.Close(); err != nil {
		log.Error("spool not closed in order", "error", err)
		return
	}
	log.Info("stopped", "records_on_disk", left.Records, "bytes_on_disk", left.Bytes)
}
