// The JVM's counterpart of our null sink: counts records and says, every 250,000 of them, how many
// there were, how many bytes a JSON line of them takes when `null.format=json`, and how much CPU
// the whole process has used. With `null.latency.file` it writes down, as ours does, when it took each
// record: 16 bytes, the record's timestamp in ms and the time in microseconds since 1970.
import com.sun.management.OperatingSystemMXBean;
import java.io.*;
import java.lang.management.ManagementFactory;
import java.time.Instant;
import java.util.*;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.*;

public class NullSinkConnector extends SinkConnector {
    private Map<String, String> props;
    @Override public void start(Map<String, String> props) { this.props = props; }
    @Override public Class<? extends Task> taskClass() { return NullSinkTask.class; }
    @Override public List<Map<String, String>> taskConfigs(int max) { return Collections.nCopies(max, props); }
    @Override public void stop() {}
    @Override public ConfigDef config() { return new ConfigDef(); }
    @Override public String version() { return "1"; }

    public static class NullSinkTask extends SinkTask {
        private static final long STEP = 250_000;
        private final OperatingSystemMXBean os = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        private JsonConverter json;
        private DataOutputStream latencies;
        private long count, bytes, next = STEP;
        @Override public String version() { return "1"; }
        @Override public void start(Map<String, String> props) {
            String file = props.get("null.latency.file");
            if (file != null) {
                try {
                    latencies = new DataOutputStream(new BufferedOutputStream(new FileOutputStream(file + "-" + System.identityHashCode(this)), 65536));
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }
            if ("json".equals(props.get("null.format"))) {
                json = new JsonConverter();
                json.configure(Map.of("schemas.enable", "false"), false);
            }
        }
        @Override public void put(Collection<SinkRecord> records) {
            if (latencies != null) {
                Instant now = Instant.now();
                long micros = now.getEpochSecond() * 1_000_000 + now.getNano() / 1000;
                try {
                    for (SinkRecord r : records) {
                        latencies.writeLong(r.timestamp());
                        latencies.writeLong(micros);
                    }
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }
            if (json != null)
                for (SinkRecord r : records) {
                    byte[] line = json.fromConnectData(r.topic(), r.valueSchema(), r.value());
                    if (line != null) bytes += line.length + 1;
                }
            count += records.size();
            if (count >= next) {
                next = count / STEP * STEP + STEP;
                System.out.println("PERF " + count + " " + os.getProcessCpuTime() + " " + System.nanoTime() + " " + bytes);
                System.out.flush();
            }
        }
        @Override public void stop() {
            try {
                if (latencies != null) latencies.close();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }
}
