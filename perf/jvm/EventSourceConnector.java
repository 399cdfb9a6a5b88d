// The JVM's counterpart of our datagen source: the lines of `lines.file`, read into memory at the start,
// sent as strings, round and round, until `iterations` are sent. What it costs to make
// an event is not in it; what it costs to convert, compress and send one is. The topic tells how far it is.
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.source.*;

public class EventSourceConnector extends SourceConnector {
    private Map<String, String> props;
    @Override public void start(Map<String, String> props) { this.props = props; }
    @Override public Class<? extends Task> taskClass() { return EventSourceTask.class; }
    @Override public List<Map<String, String>> taskConfigs(int max) { return List.of(props); }
    @Override public void stop() {}
    @Override public ConfigDef config() { return new ConfigDef(); }
    @Override public String version() { return "1"; }

    public static class EventSourceTask extends SourceTask {
        private final Map<String, Long> partition = Map.of("task", 0L);
        private String topic;
        private String[] lines;
        private int at;
        private long sent, limit;
        @Override public String version() { return "1"; }
        @Override public void start(Map<String, String> props) {
            topic = props.get("topic");
            limit = Long.parseLong(props.get("iterations"));
            try {
                lines = Files.readAllLines(Path.of(props.get("lines.file"))).toArray(new String[0]);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
        @Override public List<SourceRecord> poll() throws InterruptedException {
            if (sent >= limit) { Thread.sleep(100); return null; }
            List<SourceRecord> records = new ArrayList<>(500);
            for (int i = 0; i < 500 && sent < limit; i++) {
                String line = lines[at];
                at = at + 1 == lines.length ? 0 : at + 1;
                sent++;
                records.add(new SourceRecord(partition, Map.of("count", sent), topic, Schema.STRING_SCHEMA, line));
            }
            return records;
        }
        @Override public void stop() {}
    }
}
