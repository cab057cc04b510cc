import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Prints each expiry and each restore once, until Ctrl-C. */
final class Consumer {
    private static final Path SCHEMAS = Path.of(Connection.variable("SCHEMAS", "../../schemas"));
    /** What this program has done; yours keeps it in its database, in the transaction of its work. */
    private static final Path DONE = Path.of(Connection.variable("DONE_FILE", "done.txt"));

    private static final Map<String, String> TOPICS =
            Map.of(
                    Connection.PREFIX + "lifecycle.expired", "expired",
                    Connection.PREFIX + "lifecycle.restored", "restored");

    public static void main(String[] args) throws IOException {
        var done = new HashSet<String>(Files.exists(DONE) ? Files.readAllLines(DONE) : List.of());
        var options = Connection.options();
        options.put("group.id", Connection.variable("GROUP_ID", "emberline-example"));
        options.put("auto.offset.reset", "earliest");
        // the offset is committed below, when the work is done
        options.put("enable.auto.commit", false);
        // otherwise records of aborted transactions come too: facts that never were
        options.put("isolation.level", "read_committed");
        var bytes = new ByteArrayDeserializer();
        var closed = new CountDownLatch(1);
        String failure = null;
        try (var consumer = new KafkaConsumer<>(options, bytes, bytes)) {
            leaveAtTheEnd(consumer, closed);
            consumer.subscribe(TOPICS.keySet());
            while (true) {
                for (var message : consumer.poll(Duration.ofSeconds(1))) {
                    work(message, done);
                    var partition = new TopicPartition(message.topic(), message.partition());
                    consumer.commitSync(Map.of(partition, new OffsetAndMetadata(message.offset() + 1)));
                }
            }
        } catch (WakeupException ended) {
            // by a signal
        } catch (KafkaException error) {
            failure = "Start it again, it goes on where it was: " + error.getMessage();
        } finally {
            closed.countDown();
        }
        if (failure != null) {
            Connection.fail(failure);
        }
    }

    private static void work(ConsumerRecord<byte[], byte[]> message, Set<String> done) throws IOException {
        var record = read(message.value());
        // the same source, fact and epoch: told again, or read again after a crash
        var key = "%s %s %s".formatted(TOPICS.get(message.topic()), record.get("source"), record.get("epoch"));
        if (done.add(key)) {
            System.out.println(key + ": " + record.get("interactions") + " interactions");
            Files.writeString(DONE, key + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        }
    }

    /** The record behind Confluent framing: byte 0, the schema id, the record in Avro. */
    private static GenericRecord read(byte[] value) throws IOException {
        var id = ByteBuffer.wrap(value, 1, 4).getInt();
        var file = new ObjectMapper().readTree(SCHEMAS.resolve("registry.json").toFile()).get("" + id);
        if (value[0] != 0 || file == null) {
            throw new KafkaException("no schema has the id " + id + ": take those of emberline's newer release");
        }
        var schema = new Schema.Parser().parse(SCHEMAS.resolve(file.asText()).toFile());
        var decoder = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, null);
        return new GenericDatumReader<GenericRecord>(schema).read(null, decoder);
    }

    /** Leaves the group when the program is told to end, so that another member takes over at once. */
    private static void leaveAtTheEnd(KafkaConsumer<byte[], byte[]> consumer, CountDownLatch closed) {
        Runtime.getRuntime()
                .addShutdownHook(
                        new Thread(
                                () -> {
                                    consumer.wakeup();
                                    try {
                                        closed.await(5, TimeUnit.SECONDS);
                                    } catch (InterruptedException ended) {
                                        Thread.currentThread().interrupt();
                                    }
                                }));
    }
}
