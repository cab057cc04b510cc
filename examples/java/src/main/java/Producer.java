import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Sends what users did with a campaign: each entered a variant, got the message, opened it, clicked
 * and converted. Arguments: CAMPAIGN USER...
 */
final class Producer {
    /** A type of event: its schema id from docs/reference/records.md, and its own fields. */
    private record Type(String name, int schemaId, Map<String, Object> fields) {
        Schema schema() throws IOException {
            var folder = Connection.variable("SCHEMAS", "../../schemas");
            return new Schema.Parser().parse(Path.of(folder, "avro", name + ".avsc").toFile());
        }
    }

    /** The ids are the same with and without a schema registry. */
    private static final List<Type> TYPES =
            List.of(
                    new Type("variant", 1162691076, Map.of()),
                    new Type("send", 1162691073, Map.of("channel", "EMAIL")),
                    new Type("open", 1162691074, Map.of("channel", "EMAIL")),
                    new Type("click", 1162691075, Map.of("channel", "EMAIL", "link_alias", "shop")),
                    new Type("conversion", 1162691077, Map.of("conversion_behavior_index", 0)));

    public static void main(String[] args) throws IOException, InterruptedException {
        if (args.length < 2) {
            Connection.fail("Arguments: CAMPAIGN USER...");
        }
        var options = Connection.options();
        // with both settings the broker's log has each event once, also after a broken connection
        options.put("enable.idempotence", true);
        options.put("acks", "all");
        options.put("max.block.ms", 30_000);
        var sent = new ArrayList<Future<RecordMetadata>>();
        try (var producer = new KafkaProducer<>(options, new StringSerializer(), new ByteArraySerializer())) {
            for (var type : TYPES) {
                var schema = type.schema();
                var topic = Connection.PREFIX + "interactions." + type.name();
                producer.partitionsFor(topic); // a wrong address, password or prefix shows here
                for (var user : List.of(args).subList(1, args.length)) {
                    // the key puts all events of a user on one partition: the default partitioner
                    var value = framed(type.schemaId(), event(type, schema, args[0], user));
                    var record = new ProducerRecord<>(topic, user, value);
                    record.headers().add("traceparent", traceContext());
                    sent.add(producer.send(record));
                }
            }
            for (var future : sent) {
                future.get();
            }
            System.out.println(sent.size() + " events acknowledged");
        } catch (ExecutionException | KafkaException error) {
            Throwable cause = error;
            while (cause.getCause() != null) {
                cause = cause.getCause();
            }
            Connection.fail("Not all events were sent: " + cause.getMessage());
        }
    }

    private static GenericRecord event(Type type, Schema schema, String campaign, String user) {
        var event =
                new GenericRecordBuilder(schema) // a field that is left out has its default
                        .set("id", UUID.randomUUID().toString()) // repeat it if you send the event again
                        .set("user_id", user)
                        .set("time", System.currentTimeMillis()) // since 1970, UTC
                        .set("campaign_id", campaign)
                        .set("message_variation_id", "blue");
        type.fields()
                .forEach(
                        (name, value) -> {
                            var kind = schema.getField(name).schema();
                            var isEnum = kind.getType() == Schema.Type.ENUM;
                            event.set(name, isEnum ? new GenericData.EnumSymbol(kind, value) : value);
                        });
        return event.build();
    }

    /** Confluent framing: byte 0, the schema id, the record in Avro. */
    private static byte[] framed(int schemaId, GenericRecord record) throws IOException {
        var bytes = new ByteArrayOutputStream();
        bytes.write(0);
        bytes.write(ByteBuffer.allocate(4).putInt(schemaId).array());
        var encoder = EncoderFactory.get().directBinaryEncoder(bytes, null);
        new GenericDatumWriter<GenericRecord>(record.getSchema()).write(record, encoder);
        return bytes.toByteArray();
    }

    /** W3C trace context; OpenTelemetry's instrumentation writes this header by itself. */
    private static byte[] traceContext() {
        var random = new byte[24];
        new SecureRandom().nextBytes(random);
        var hex = HexFormat.of().formatHex(random);
        var text = "00-%s-%s-01".formatted(hex.substring(0, 32), hex.substring(32));
        return text.getBytes(StandardCharsets.US_ASCII);
    }
}
