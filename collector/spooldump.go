package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/shopspring/decimal"

	"beckon/internal/event"
	"beckon/internal/spool"
)

// spooldumpCmd shows what files of a spool hold. It only reads and takes no lock, so it may be used beside a running
// collector.
type spooldumpCmd struct {
	JSON  bool     `env:"-" help:"One JSON object a line: the file, then each part of it."`
	Files []string `arg:"" name:"file" help:"Files of a spool: .segment, .ids, .rejected, or the file named spool."`
}

// Run prints every file that can be read, and returns an error when one could not, or is damaged.
func (cmd *spooldumpCmd) Run() error { return cmd.dump(os.Stdout) }

func (cmd *spooldumpCmd) dump(w io.Writer) error {
	bad := 0
	for _, name := range cmd.Files {
		in, err := spool.Inspect(name)
		if err != nil {
			bad++
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		if len(in.Faults) > 0 {
			bad++
		}
		show := showText
		if cmd.JSON {
			show = showJSON
		}
		if err := show(w, in); err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d files are damaged or could not be read", bad, len(cmd.Files))
	}
	return nil
}

// shownPart is a part with its payload as what it is.
type shownPart struct {
	spool.Part
	Payload []byte         `json:"payload,omitempty"` // base64, when it is neither of the others
	Event   map[string]any `json:"event,omitempty"`
	Value   any            `json:"json,omitempty"` // what the aggregator's spool holds
}

func understand(p spool.Part) shownPart {
	shown := shownPart{Part: p}
	var e event.Stored
	switch {
	case p.Kind != "record":
	case e.Decode(p.Payload) == nil:
		shown.Event = fields(reflect.ValueOf(e))
	case json.Valid(p.Payload):
		shown.Value = json.RawMessage(p.Payload)
	default:
		shown.Payload = p.Payload
	}
	return shown
}

func showJSON(w io.Writer, in *spool.Inspection) error {
	out := json.NewEncoder(w)
	if err := out.Encode(in); err != nil {
		return err
	}
	for _, p := range in.Parts {
		if err := out.Encode(understand(p)); err != nil {
			return err
		}
	}
	return nil
}

func showText(w io.Writer, in *spool.Inspection) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s %d of spool %s, format version %d, created %s\n", in.File, in.Type, in.Segment, in.Spool, in.Version, stamp(in.Created))
	records, damaged := 0, 0
	for _, part := range in.Parts {
		p := understand(part)
		fmt.Fprintf(&b, "%10d %7d  %-7s", p.At, p.Bytes, p.Kind)
		if p.Sequence > 0 {
			fmt.Fprintf(&b, " #%d", p.Sequence)
		}
		switch p.Kind {
		case "record":
			records++
			fmt.Fprintf(&b, " site %q fingerprint %s %s", p.Site, p.Fingerprint, payloadText(p))
		case "commit":
			fmt.Fprintf(&b, " of all from #%d at %s:", p.First, stamp(p.Time))
			for _, l := range p.Lines {
				fmt.Fprintf(&b, " [%q %s %s %d]", l.Site, l.Minute.Format("2006-01-02T15:04Z"), l.Reason, l.N)
			}
		case "seal":
			fmt.Fprintf(&b, " %d records at %s", p.Records, stamp(p.Time))
		case "ids":
			fmt.Fprintf(&b, " %d, the last at %s: %s", len(p.IDs), stamp(p.Time), strings.Join(p.IDs, " "))
		case "damage":
			damaged += p.Bytes
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%d records, %d damaged bytes\n", records, damaged)
	for _, fault := range in.Faults {
		fmt.Fprintf(&b, "FAULT: %s\n", fault)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

func payloadText(p shownPart) string {
	var v any = p.Value
	if p.Event != nil {
		v = p.Event
	}
	if v == nil {
		return fmt.Sprintf("%d bytes: %x", len(p.Payload), p.Payload)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "at an unknown time"
	}
	return t.Format("2006-01-02T15:04:05.000Z")
}

// fields is what a record says, without what it does not say: names much like the columns of events, values as a
// person reads them.
func fields(v reflect.Value) map[string]any {
	m := map[string]any{}
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() {
			name := v.Type().Field(i).Name
			m[snake(name)] = readable(name, f)
		}
	}
	return m
}

func readable(name string, f reflect.Value) any {
	switch x := f.Interface().(type) {
	case fmt.Stringer:
		return x.String()
	case [16]byte:
		return hex.EncodeToString(x[:])
	case event.Amount:
		return decimal.New(x.Units, -4).String()
	case []event.StoredItem:
		items := []any{}
		for i := range x {
			items = append(items, fields(f.Index(i)))
		}
		return items
	case int64:
		if name == "Rate" {
			return decimal.New(x, -8).String()
		}
		return stamp(time.UnixMilli(x).UTC())
	case uint16:
		if strings.HasSuffix(name, "Day") {
			return time.Unix(int64(x)*24*60*60, 0).UTC().Format(time.DateOnly)
		}
	}
	return f.Interface()
}

// snake turns OccurredAt into occurred_at and UTMName into utm_name.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) {
			lowerBefore := i > 0 && unicode.IsLower(runes[i-1])
			lowerAfter := i > 0 && i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if lowerBefore || lowerAfter {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
