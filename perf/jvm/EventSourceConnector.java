// The JVM's counterpart of our datagen source: one JSON line of the same length again and again,
// as a string, until `iterations` are sent; counts what the framework says is acknowledged.
import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.*;
import org.apache.kafka.clients.producer.RecordMetadata;
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
        private static final long STEP = 250_000;
        private final OperatingSystemMXBean os = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        private final Map<String, Long> partition = Map.of("task", 0L);
        private String topic, line;
        private long sent, limit, acked, next = STEP;
        @Override public String version() { return "1"; }
        @Override public void start(Map<String, String> props) {
            topic = props.get("topic");
            line = props.get("line");
            limit = Long.parseLong(props.get("iterations"));
        }
        @Override public List<SourceRecord> poll() throws InterruptedException {
            if (sent >= limit) { Thread.sleep(100); return null; }
            List<SourceRecord> records = new ArrayList<>(500);
            for (int i = 0; i < 500 && sent < limit; i++) {
                sent++;
                records.add(new SourceRecord(partition, Map.of("count", sent), topic, Schema.STRING_SCHEMA, line));
            }
            return records;
        }
        @Override public void commitRecord(SourceRecord record, RecordMetadata metadata) {
            if (++acked >= next) {
                next += STEP;
                System.out.println("PERF " + acked + " " + os.getProcessCpuTime() + " " + System.nanoTime() + " 0");
                System.out.flush();
            }
        }
        @Override public void stop() {}
    }
}
