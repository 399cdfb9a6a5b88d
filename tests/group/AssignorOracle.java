// The JVM's own assignors, round by round: what ours are compared with. Rounds come in on standard
// input, the members' assignments go out, all in the bytes of the group protocol as hex.
//
//   new MAX_DELAY_MS                             a new leader
//   round PROTOCOL LEADER LAST GENERATION NOW    LAST is the last completed generation
//   config OFFSET
//   connector NAME TASKS
//   member ID HEX
//   end                                          answered: ID HEX for each member, then a dot
package org.apache.kafka.connect.runtime.distributed;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.Proxy;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.internals.AbstractCoordinator;
import org.apache.kafka.common.message.JoinGroupResponseData.JoinGroupResponseMember;
import org.apache.kafka.common.utils.LogContext;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.connect.storage.ClusterConfigState;
import org.apache.kafka.connect.storage.ConfigBackingStore;

public class AssignorOracle {
    static final HexFormat HEX = HexFormat.of();
    static long now;
    static ClusterConfigState snapshot;

    static Object proxy(Class<?> type, String method, java.util.function.Supplier<Object> answer) {
        return Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (self, called, arguments) -> {
            if (called.getName().equals(method)) return answer.get();
            throw new UnsupportedOperationException(called.getName());
        });
    }

    static void set(Class<?> type, String name, Object on, Object value) throws Exception {
        Field field = type.getDeclaredField(name);
        field.setAccessible(true);
        field.set(on, value);
    }

    // A coordinator that coordinates nothing: the assignors only ask it what it knows.
    static WorkerCoordinator coordinator() throws Exception {
        Field unsafe = sun.misc.Unsafe.class.getDeclaredField("theUnsafe");
        unsafe.setAccessible(true);
        Object made = ((sun.misc.Unsafe) unsafe.get(null)).allocateInstance(WorkerCoordinator.class);
        set(WorkerCoordinator.class, "configStorage", made,
            proxy(ConfigBackingStore.class, "snapshot", () -> snapshot));
        return (WorkerCoordinator) made;
    }

    static void generation(WorkerCoordinator coordinator, int generation, String member) throws Exception {
        Class<?> type = Class.forName(AbstractCoordinator.class.getName() + "$Generation");
        var constructor = type.getDeclaredConstructor(int.class, String.class, String.class);
        constructor.setAccessible(true);
        set(AbstractCoordinator.class, "generation", coordinator, constructor.newInstance(generation, member, "x"));
    }

    static ClusterConfigState config(long offset, Map<String, Integer> tasks) {
        Map<String, Map<String, String>> configs = new HashMap<>();
        tasks.keySet().forEach(name -> configs.put(name, Map.of()));
        return new ClusterConfigState(offset, null, tasks, configs, Map.of(), Map.of(), Map.of(), Map.of(),
            Map.of(), Set.of(), Set.of());
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        PrintStream out = new PrintStream(System.out, false);
        Time time = (Time) proxy(Time.class, "milliseconds", () -> now);
        WorkerCoordinator coordinator = coordinator();
        ConnectAssignor eager = new EagerAssignor(new LogContext());
        ConnectAssignor incremental = null;
        String[] round = null;
        long offset = 0;
        Map<String, Integer> tasks = new HashMap<>();
        List<JoinGroupResponseMember> members = new ArrayList<>();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "new" -> incremental =
                    new IncrementalCooperativeAssignor(new LogContext(), time, Integer.parseInt(words[1]));
                case "round" -> {
                    round = words;
                    tasks = new HashMap<>();
                    members = new ArrayList<>();
                }
                case "config" -> offset = Long.parseLong(words[1]);
                case "connector" -> tasks.put(words[1], Integer.parseInt(words[2]));
                case "member" -> members.add(new JoinGroupResponseMember()
                    .setMemberId(words[1]).setMetadata(HEX.parseHex(words[2])));
                case "end" -> {
                    set(WorkerCoordinator.class, "lastCompletedGenerationId", coordinator, Integer.parseInt(round[3]));
                    generation(coordinator, Integer.parseInt(round[4]), round[2]);
                    now = Long.parseLong(round[5]);
                    snapshot = config(offset, tasks);
                    coordinator.configSnapshot(snapshot);
                    ConnectAssignor assignor = round[1].equals("default") ? eager : incremental;
                    Map<String, ByteBuffer> answer =
                        assignor.performAssignment(round[2], round[1], members, coordinator);
                    for (var one : new TreeMap<>(answer).entrySet()) {
                        byte[] bytes = new byte[one.getValue().remaining()];
                        one.getValue().get(bytes);
                        out.println(one.getKey() + " " + HEX.formatHex(bytes));
                    }
                    out.println(".");
                }
                default -> throw new IllegalArgumentException(line);
            }
        }
        out.flush();
    }
}
