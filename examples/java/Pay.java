import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.io.FileReader;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Pay once: send a transfer to Once, and find out what became of it.
 *
 * <pre>java Pay order-4711.json 1 100001 1999</pre>
 *
 * Account 1 pays 19.99 EUR to account 100001. The first run makes the transfer's id and keeps the
 * whole payment in order-4711.json. Whatever happens then, run it again: it sends the same id, so
 * the money moves once at most.
 *
 * <p>Needs Java 11, the jars of pom.xml, BOOTSTRAP_SERVERS and REGISTRY_URL ("make env"). Exit
 * status: 0 posted, 1 nothing was paid, 75 not known yet: run it again.
 */
public final class Pay {
    static final String TOPIC = setting("TOPIC", "transfers");
    static final String RESULTS_TOPIC = setting("RESULTS_TOPIC", "transfer-results");
    static final int SENDS_MAX = 3;
    static final String ACKNOWLEDGED_MS_MAX = "30000";
    static final double RESULT_SECONDS_MAX = Double.parseDouble(setting("RESULT_SECONDS_MAX", "60"));
    static final int POSTED = 0, NOT_PAID = 1, NOT_KNOWN = 75;

    static final ObjectMapper JSON = new ObjectMapper();
    static final HttpClient HTTP = HttpClient.newHttpClient();
    static final Map<Integer, Schema> SCHEMAS = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        try {
            System.exit(pay(Path.of(arguments[0]), arguments));
        } catch (KafkaException | ExecutionException | IOException error) {
            var cause = error.getCause() == null ? error : error.getCause();
            System.out.println("not known yet: run it again: " + cause);
            System.exit(NOT_KNOWN);
        }
    }

    /** Makes one payment, or finds out what became of it. */
    static int pay(Path file, String[] arguments) throws Exception {
        var payment = kept(file, arguments);
        System.out.printf("transfer_id %s, kept in %s%n", payment.get("transfer_id").asText(), file);
        try (var results = new Results()) {
            // The key is the account in decimal digits: not typed by hand, but from the field.
            var key = Long.toString(payment.get("debit_account").asLong());
            var place = acknowledged(key, encoded(payment));
            System.out.printf("acknowledged: %s[%d]@%d%n", TOPIC, place.partition(), place.offset());
            var verdict = results.of(place).map(Pay::settled).orElse("UNKNOWN");
            if (verdict.equals("UNKNOWN")) { // late, or a verdict that is newer than this program
                System.out.println("not known yet: run it again");
                return NOT_KNOWN;
            }
            return verdict.equals("POSTED") ? POSTED : NOT_PAID;
        }
    }

    /** The payment in the file; made and written there before anything is sent. */
    static JsonNode kept(Path file, String[] arguments) throws IOException {
        if (Files.exists(file)) {
            return JSON.readTree(file.toFile());
        }
        ObjectNode payment = JSON.createObjectNode();
        payment.put("transfer_id", UUID.randomUUID().toString()); // a version 7 is best, if you have one
        payment.put("debit_account", Long.parseLong(arguments[1]));
        payment.put("credit_account", Long.parseLong(arguments[2]));
        payment.put("amount", Long.parseLong(arguments[3]));
        payment.put("currency", "EUR");
        payment.put("memo", file.getFileName().toString().replaceFirst("\\.json$", ""));
        payment.put("created_at_ms", System.currentTimeMillis());
        var draft = file.resolveSibling(file.getFileName() + ".draft");
        Files.write(draft, JSON.writeValueAsBytes(payment));
        try (var channel = FileChannel.open(draft, StandardOpenOption.WRITE)) {
            channel.force(true);
        }
        Files.move(draft, file, StandardCopyOption.ATOMIC_MOVE);
        return payment;
    }

    /** The value of a record: a zero byte, the schema's id, the Avro body. */
    static byte[] encoded(JsonNode payment) throws IOException, InterruptedException {
        var latest = registry("/subjects/" + TOPIC + "-value/versions/latest");
        var schema = new Schema.Parser().parse(latest.get("schema").asText());
        var id = UUID.fromString(payment.get("transfer_id").asText());
        var octets = ByteBuffer.allocate(16)
            .putLong(id.getMostSignificantBits()).putLong(id.getLeastSignificantBits()).array();
        var currency = payment.get("currency").asText().getBytes(StandardCharsets.US_ASCII);
        var transfer = new GenericRecordBuilder(schema)
            .set("transfer_id", new GenericData.Fixed(schema.getField("transfer_id").schema(), octets))
            .set("debit_account", payment.get("debit_account").asLong())
            .set("credit_account", payment.get("credit_account").asLong())
            .set("amount", payment.get("amount").asLong())
            .set("currency", new GenericData.Fixed(schema.getField("currency").schema(), currency))
            .set("memo", payment.get("memo").asText())
            .set("created_at_ms", payment.get("created_at_ms").asLong())
            .build(); // emitter and emitter_sequence: their defaults
        var value = new ByteArrayOutputStream();
        value.writeBytes(ByteBuffer.allocate(5).put((byte) 0).putInt(latest.get("id").asInt()).array());
        var encoder = EncoderFactory.get().binaryEncoder(value, null);
        new GenericDatumWriter<GenericRecord>(schema).write(transfer, encoder);
        encoder.flush();
        return value.toByteArray();
    }

    /** Sends until it is acknowledged, always the same bytes with the same id. */
    static RecordMetadata acknowledged(String key, byte[] value) throws Exception {
        for (int left = SENDS_MAX - 1; ; left--) {
            try {
                return send(key, value);
            } catch (ExecutionException error) {
                if (left == 0) {
                    throw error;
                }
                System.out.println("not acknowledged, sending the same id again: " + error);
            }
        }
    }

    /** Sends one record and waits until Kafka has it. A service makes one producer and keeps it. */
    static RecordMetadata send(String key, byte[] value) throws Exception {
        // Idempotence, acks=all and the partitioner (murmur2 of the key) are the defaults.
        var settings = kafka(Map.of(
            "compression.type", "lz4", "delivery.timeout.ms", ACKNOWLEDGED_MS_MAX,
            "request.timeout.ms", "10000")); // together with linger.ms less than delivery.timeout.ms
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
            var place = producer.send(new ProducerRecord<>(TOPIC, key, value)).get();
            if (!place.hasOffset()) { // a repeat that the broker knew already
                throw new ExecutionException("acknowledged without an offset", null);
            }
            return place;
        }
    }

    /**
     * What is published from now on. Made before the send, so none is missed. A service has one such
     * reader, in a group that commits its offsets.
     */
    static final class Results implements AutoCloseable {
        private final KafkaConsumer<byte[], byte[]> consumer;

        Results() throws IOException {
            var settings = kafka(Map.of(
                "group.id", "foreign-producer", "isolation.level", "read_committed",
                "enable.auto.commit", "false"));
            consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
            List<TopicPartition> places = consumer.partitionsFor(RESULTS_TOPIC).stream()
                .map(each -> new TopicPartition(RESULTS_TOPIC, each.partition()))
                .collect(Collectors.toList());
            consumer.assign(places);
            consumer.endOffsets(places).forEach(consumer::seek);
        }

        /** The one result of a record, or nothing when it does not come in time. */
        @SuppressWarnings("unchecked")
        Optional<GenericRecord> of(RecordMetadata place) throws IOException, InterruptedException {
            long deadline = System.nanoTime() + (long) (RESULT_SECONDS_MAX * 1e9);
            while (System.nanoTime() < deadline) {
                for (var message : consumer.poll(Duration.ofMillis(500))) {
                    if (message.key() != null) {
                        continue; // of a Store's transfers; of all others the key is null
                    }
                    var found = decoded(message.value());
                    if ((int) found.get("partition") != place.partition()) {
                        continue;
                    }
                    for (var result : (List<GenericRecord>) found.get("results")) {
                        if ((long) result.get("offset") == place.offset()) {
                            return Optional.of(result);
                        }
                    }
                }
            }
            return Optional.empty();
        }

        @Override
        public void close() {
            consumer.close();
        }
    }

    /** A record of the results topic, read with the schema that it was written with. */
    static GenericRecord decoded(byte[] value) throws IOException, InterruptedException {
        int id = ByteBuffer.wrap(value, 1, 4).getInt();
        var schema = SCHEMAS.get(id); // an id means one schema for ever
        if (schema == null) {
            schema = new Schema.Parser().parse(registry("/schemas/ids/" + id).get("schema").asText());
            SCHEMAS.put(id, schema);
        }
        var body = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, null);
        return new GenericDatumReader<GenericRecord>(schema).read(null, body);
    }

    /** What became of the payment: of a repeat, what became of it the first time. */
    static String settled(GenericRecord result) {
        var verdict = result.get("verdict").toString();
        if (!verdict.equals("EXISTS")) {
            System.out.println(verdict);
            return verdict;
        }
        var first = result.hasField("first_verdict") ? result.get("first_verdict").toString() : "UNKNOWN";
        System.out.println("EXISTS: this payment was sent before, and then it was " + first);
        return first;
    }

    /** What the schema registry answers. */
    static JsonNode registry(String path) throws IOException, InterruptedException {
        var request = HttpRequest.newBuilder(URI.create(System.getenv("REGISTRY_URL") + path))
            .timeout(Duration.ofSeconds(10)).build();
        var answer = HTTP.send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) {
            throw new IOException(path + ": " + answer.statusCode() + " " + answer.body());
        }
        return JSON.readTree(answer.body());
    }

    /** Settings of a client; a cluster's TLS comes from the file KAFKA_PROPERTIES. */
    static Properties kafka(Map<String, String> ours) throws IOException {
        var settings = new Properties();
        settings.putAll(ours);
        settings.put("bootstrap.servers", System.getenv("BOOTSTRAP_SERVERS"));
        if (System.getenv("KAFKA_PROPERTIES") != null) {
            try (var file = new FileReader(System.getenv("KAFKA_PROPERTIES"))) {
                settings.load(file);
            }
        }
        return settings;
    }

    static String setting(String name, String otherwise) {
        return Optional.ofNullable(System.getenv(name)).orElse(otherwise);
    }
}
