// Consumer prints each expiry and each restore once, until Ctrl-C.
//
//	go run ./consumer
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"

	"emberline.example/go/connection"
)

var (
	schemas = connection.Variable("SCHEMAS", "../../schemas")
	// what this program has done; yours keeps it in its database, in the transaction of its work
	doneFile = connection.Variable("DONE_FILE", "done.txt")
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := consume(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "Start it again, it goes on where it was:", err)
		os.Exit(1)
	}
}

func consume(ctx context.Context) error {
	done := map[string]bool{}
	if text, err := os.ReadFile(doneFile); err == nil {
		for line := range strings.Lines(string(text)) {
			done[strings.TrimSuffix(line, "\n")] = true
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	options, err := connection.Options()
	if err != nil {
		return err
	}
	facts := connection.Prefix + "lifecycle."
	client, err := kgo.NewClient(append(options,
		kgo.ConsumerGroup(connection.Variable("GROUP_ID", "emberline-example")),
		kgo.ConsumeTopics(facts+"expired", facts+"restored"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// the offset is committed below, when the work is done
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		// otherwise records of aborted transactions come too: facts that never were
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, nil)),
	)...)
	if err != nil {
		return err
	}
	// leaves the group, so that another member takes over at once
	defer client.CloseAllowingRebalance()
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, message := range fetches.Records() {
			if err := work(strings.TrimPrefix(message.Topic, facts), message.Value, done); err != nil {
				return err
			}
			if err := client.CommitRecords(ctx, message); err != nil {
				return err
			}
		}
		client.AllowRebalance()
	}
}

func work(fact string, value []byte, done map[string]bool) error {
	record, err := read(value)
	if err != nil {
		return err
	}
	// the same source, fact and epoch: told again, or read again after a crash
	key := fmt.Sprintf("%s %v %v", fact, record["source"], record["epoch"])
	if done[key] {
		return nil
	}
	fmt.Printf("%s: %v interactions\n", key, record["interactions"])
	done[key] = true
	file, err := os.OpenFile(doneFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, key)
	return errors.Join(err, file.Close())
}

// The record behind Confluent framing: byte 0, the schema id, the record in Avro.
func read(value []byte) (map[string]any, error) {
	text, err := os.ReadFile(filepath.Join(schemas, "registry.json"))
	if err != nil {
		return nil, err
	}
	var files map[uint32]string
	if err := json.Unmarshal(text, &files); err != nil {
		return nil, err
	}
	if len(value) < 5 || value[0] != 0 || files[binary.BigEndian.Uint32(value[1:])] == "" {
		return nil, errors.New("no schema has this id: take the schemas of emberline's newer release")
	}
	text, err = os.ReadFile(filepath.Join(schemas, files[binary.BigEndian.Uint32(value[1:])]))
	if err != nil {
		return nil, err
	}
	schema, err := avro.Parse(string(text))
	if err != nil {
		return nil, err
	}
	var record map[string]any
	_, err = schema.Decode(value[5:], &record)
	return record, err
}
