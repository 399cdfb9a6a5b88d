// The JVM's own converters, transforms and predicates on the records of many cases: what `millrace
// transform` is compared with. For each NAME.properties in the folder given, NAME.in holds records
// as `millrace transform` reads them; NAME.jvm gets its answers, or NAME.refused the errors.

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedWriter;
import java.io.File;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigValue;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.header.ConnectHeaders;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.storage.Converter;
import org.apache.kafka.connect.storage.HeaderConverter;
import org.apache.kafka.connect.transforms.Transformation;
import org.apache.kafka.connect.transforms.predicates.Predicate;

public class ChainOracle {
    static final ObjectMapper MAPPER = new ObjectMapper()
        .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
        .setNodeFactory(com.fasterxml.jackson.databind.node.JsonNodeFactory.withExactBigDecimals(true));

    final Map<String, String> config;
    final List<String> errors = new ArrayList<>();
    final Converter key;
    final Converter value;
    final HeaderConverter header;
    final List<Stage> stages = new ArrayList<>();
    final JsonConverter envelope = new JsonConverter();

    @SuppressWarnings("rawtypes")
    record Stage(Transformation transformation, Predicate predicate, boolean negate) {}

    ChainOracle(Map<String, String> config) {
        this.config = config;
        key = (Converter) converter("key");
        value = (Converter) converter("value");
        header = (HeaderConverter) converter("header");
        for (String alias : list("transforms")) {
            Map<String, String> own = under("transforms." + alias + ".");
            Predicate<?> predicate = null;
            boolean negate = Boolean.parseBoolean(own.remove("negate"));
            String name = own.remove("predicate");
            if (name != null) {
                Map<String, String> settings = under("predicates." + name + ".");
                predicate = configured("predicates." + name, settings);
            }
            Transformation<?> transformation = configured("transforms." + alias, own);
            stages.add(new Stage(transformation, predicate, negate));
        }
        envelope.configure(Map.of("schemas.enable", "true", "decimal.format", "NUMERIC"), false);
    }

    List<String> list(String name) {
        String text = config.getOrDefault(name, "");
        return text.isBlank() ? List.of() : Arrays.asList(text.split("\\s*,\\s*"));
    }

    Map<String, String> under(String prefix) {
        Map<String, String> own = new HashMap<>();
        config.forEach((name, text) -> {
            if (name.startsWith(prefix)) own.put(name.substring(prefix.length()), text);
        });
        return own;
    }

    Object converter(String side) {
        String fallback = side.equals("header")
            ? "org.apache.kafka.connect.storage.SimpleHeaderConverter"
            : "org.apache.kafka.connect.json.JsonConverter";
        String type = config.getOrDefault(side + ".converter", fallback);
        Map<String, String> own = under(side + ".converter.");
        own.put("converter.type", side);
        try {
            Object made = Class.forName(type).getDeclaredConstructor().newInstance();
            if (side.equals("header")) ((HeaderConverter) made).configure(own);
            else ((Converter) made).configure(own, side.equals("key"));
            return made;
        } catch (Exception e) {
            errors.add(side + ".converter: " + e);
            return null;
        }
    }

    /** As the worker does: the definition's own validation first, then `configure`. */
    @SuppressWarnings("unchecked")
    <T> T configured(String what, Map<String, String> settings) {
        String type = settings.remove("type");
        try {
            Object made = Class.forName(type).getDeclaredConstructor().newInstance();
            ConfigDef def = made instanceof Transformation<?> t ? t.config() : ((Predicate<?>) made).config();
            boolean good = true;
            for (ConfigValue value : def.validate(settings)) {
                for (String message : value.errorMessages()) {
                    errors.add(what + "." + value.name() + ": " + message);
                    good = false;
                }
            }
            if (!good) return null;
            if (made instanceof Transformation<?> t) t.configure(settings);
            else ((Predicate<?>) made).configure(settings);
            return (T) made;
        } catch (Exception e) {
            errors.add(what + ": " + e);
            return null;
        }
    }

    static byte[] bytes(JsonNode node) throws Exception {
        if (node == null || node.isNull()) return null;
        if (node.isTextual()) {
            String text = node.textValue();
            if (text.startsWith("base64:")) return Base64.getDecoder().decode(text.substring(7));
            return text.getBytes(StandardCharsets.UTF_8);
        }
        return MAPPER.writeValueAsBytes(node);
    }

    @SuppressWarnings({"rawtypes", "unchecked"})
    String answer(String line) {
        try {
            JsonNode node = MAPPER.readTree(line);
            String topic = node.path("topic").asText("t");
            ConnectHeaders headers = new ConnectHeaders();
            for (JsonNode one : node.path("headers")) {
                String name = one.get("key").textValue();
                SchemaAndValue datum = header.toConnectHeader(topic, name, bytes(one.get("value")));
                headers.add(name, datum);
            }
            SchemaAndValue k = key.toConnectData(topic, bytes(node.get("key")));
            SchemaAndValue v = value.toConnectData(topic, bytes(node.get("value")));
            Long timestamp = node.hasNonNull("timestamp") ? node.get("timestamp").longValue() : null;
            int partition = node.path("partition").asInt(0);
            ConnectRecord record = config.containsKey("oracle.source")
                ? new SourceRecord(Map.of(), Map.of(), topic, partition, k.schema(), k.value(),
                    v.schema(), v.value(), timestamp, headers)
                : new SinkRecord(topic, partition, k.schema(), k.value(), v.schema(), v.value(),
                    node.path("offset").asLong(0), timestamp, TimestampType.CREATE_TIME, headers);
            for (Stage stage : stages) {
                if (stage.predicate != null && stage.predicate.test(record) == stage.negate) continue;
                record = (ConnectRecord) stage.transformation.apply(record);
                if (record == null) return "{\"dropped\":true}";
            }
            return written(record, partition);
        } catch (Exception e) {
            Map<String, Object> error = new LinkedHashMap<>();
            error.put("error", e.getClass().getSimpleName());
            error.put("message", String.valueOf(e.getMessage()));
            return MAPPER.valueToTree(error).toString();
        }
    }

    /** A record without a partition goes to the one that it came from, as a sink's does. */
    @SuppressWarnings("rawtypes")
    String written(ConnectRecord record, int partition) throws Exception {
        StringBuilder out = new StringBuilder("{\"topic\":").append(MAPPER.writeValueAsString(record.topic()));
        out.append(",\"partition\":").append(record.kafkaPartition() == null ? partition : record.kafkaPartition());
        out.append(",\"timestamp\":").append(record.timestamp());
        out.append(",\"key\":").append(enveloped(record.topic(), record.keySchema(), record.key()));
        out.append(",\"value\":").append(enveloped(record.topic(), record.valueSchema(), record.value()));
        out.append(",\"headers\":[");
        String comma = "";
        for (Object header : record.headers()) {
            Header one = (Header) header;
            out.append(comma).append("{\"key\":").append(MAPPER.writeValueAsString(one.key()));
            out.append(",\"value\":").append(enveloped(record.topic(), one.schema(), one.value())).append('}');
            comma = ",";
        }
        return out.append("]}").toString();
    }

    String enveloped(String topic, Schema schema, Object value) {
        byte[] bytes = envelope.fromConnectData(topic, schema, value);
        return bytes == null ? "null" : new String(bytes, StandardCharsets.UTF_8);
    }

    public static void main(String[] args) throws Exception {
        File[] files = new File(args[0]).listFiles((dir, name) -> name.endsWith(".properties"));
        Arrays.sort(files);
        for (File file : files) {
            String stem = file.getPath().substring(0, file.getPath().length() - ".properties".length());
            Properties properties = new Properties();
            properties.load(new StringReader(Files.readString(file.toPath())));
            Map<String, String> config = new LinkedHashMap<>();
            properties.forEach((name, text) -> config.put((String) name, (String) text));
            ChainOracle chain = new ChainOracle(config);
            if (!chain.errors.isEmpty()) {
                Files.write(Path.of(stem + ".refused"), chain.errors);
                continue;
            }
            try (BufferedWriter out = Files.newBufferedWriter(Path.of(stem + ".jvm"))) {
                for (String line : Files.readAllLines(Path.of(stem + ".in"))) {
                    out.write(chain.answer(line));
                    out.newLine();
                }
            }
        }
    }
}
