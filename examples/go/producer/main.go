// Producer sends what users did with a campaign: each entered a variant, got the message, opened it,
// clicked and converted.
//
//	go run ./producer CAMPAIGN USER...
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"

	"emberline.example/go/connection"
)

// A type of event: its schema id from docs/reference/records.md, which is the same with and without
// a schema registry, and the fields beside those that all types have.
type eventType struct {
	name     string
	schemaID uint32
	fields   map[string]any
}

var types = []eventType{
	{"variant", 1162691076, nil},
	{"send", 1162691073, map[string]any{"channel": "EMAIL"}},
	{"open", 1162691074, map[string]any{"channel": "EMAIL"}},
	{"click", 1162691075, map[string]any{"channel": "EMAIL", "link_alias": "shop"}},
	{"conversion", 1162691077, map[string]any{"conversion_behavior_index": 0}},
}

func main() {
	if len(os.Args) < 3 {
		fail(errors.New("arguments: CAMPAIGN USER..."))
	}
	sent, err := produce(context.Background(), os.Args[1], os.Args[2:])
	if err != nil {
		fail(fmt.Errorf("not all events were sent: %w", err))
	}
	fmt.Println(sent, "events acknowledged")
}

func produce(ctx context.Context, campaign string, users []string) (int, error) {
	records, err := recordsOf(campaign, users)
	if err != nil {
		return 0, err
	}
	options, err := connection.Options()
	if err != nil {
		return 0, err
	}
	// idempotent by default: the broker's log has each event once, also after a broken connection
	client, err := kgo.NewClient(append(options,
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// Kafka's murmur2: all events of a user on one partition, the same as of other languages
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.RecordDeliveryTimeout(2*time.Minute),
	)...)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	// a client retries for long: a wrong address or password shows here
	short, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := client.Ping(short); err != nil {
		return 0, err
	}
	return len(records), client.ProduceSync(ctx, records...).FirstErr()
}

func recordsOf(campaign string, users []string) ([]*kgo.Record, error) {
	var records []*kgo.Record
	for _, kind := range types {
		file := filepath.Join(connection.Variable("SCHEMAS", "../../schemas"), "avro", kind.name+".avsc")
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		schema, err := avro.Parse(string(text))
		if err != nil {
			return nil, err
		}
		for _, user := range users {
			event := map[string]any{
				"id":                   rand.Text(), // repeat the id if you ever send the event again
				"user_id":              user,
				"time":                 time.Now().UnixMilli(), // since 1970, UTC
				"campaign_id":          campaign,
				"message_variation_id": "blue",
			}
			for name, value := range kind.fields {
				event[name] = value
			}
			// Confluent framing: byte 0, the schema id, the record in Avro
			head := binary.BigEndian.AppendUint32([]byte{0}, kind.schemaID)
			value, err := schema.AppendEncode(head, event) // a field left out has its default
			if err != nil {
				return nil, err
			}
			records = append(records, &kgo.Record{
				Topic:   connection.Prefix + "interactions." + kind.name,
				Key:     []byte(user),
				Value:   value,
				Headers: []kgo.RecordHeader{{Key: "traceparent", Value: traceContext()}},
			})
		}
	}
	return records, nil
}

// W3C trace context; OpenTelemetry's instrumentation writes this header by itself.
func traceContext() []byte {
	random := make([]byte, 24)
	rand.Read(random)
	return fmt.Appendf(nil, "00-%x-%x-01", random[:16], random[16:])
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
