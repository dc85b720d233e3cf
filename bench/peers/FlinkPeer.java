import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * Runs a SQL script on Flink in this process, some times over, and prints what each run cost.
 *
 * <p>Arguments: script, workers, runs. The last statement is the job; those before it are run once. A
 * line of JSON for each run: seconds by the clock, and CPU-seconds of the whole process, which
 * holds job manager and task managers. The first line is what starting cost.
 */
public final class FlinkPeer {
    private static double cpuSeconds() {
        var system = (com.sun.management.OperatingSystemMXBean)
                ManagementFactory.getOperatingSystemMXBean();
        return system.getProcessCpuTime() / 1e9;
    }

    private static void report(String what, double wall, double cpu) {
        System.out.printf(
                java.util.Locale.ROOT,
                "{\"run\":\"%s\",\"wall_seconds\":%.3f,\"cpu_seconds\":%.3f}%n", what, wall, cpu);
    }

    /** COUNT_CHAR of q14, which Flink does not have: how often a letter stands in a text. */
    public static final class CountChar extends ScalarFunction {
        public long eval(String text, String letter) {
            return text.chars().filter(other -> other == letter.charAt(0)).count();
        }
    }

    public static void main(String[] arguments) throws Exception {
        String script = Files.readString(Path.of(arguments[0]));
        Configuration options = new Configuration();
        options.setString("parallelism.default", arguments[1]);
        options.setString("taskmanager.numberOfTaskSlots", arguments[1]);
        int runs = Integer.parseInt(arguments[2]);

        var settings = EnvironmentSettings.newInstance()
                .inStreamingMode().withConfiguration(options).build();
        TableEnvironment tables = TableEnvironment.create(settings);
        tables.createTemporarySystemFunction("count_char", CountChar.class);
        String[] statements = script.replaceAll("(?m)^\\s*--.*$", "").strip().split(";\\s*");
        for (int at = 0; at < statements.length - 1; at++) {
            tables.executeSql(statements[at]);
        }
        report("start", ManagementFactory.getRuntimeMXBean().getUptime() / 1e3, cpuSeconds());
        for (int run = 0; run < runs; run++) {
            double cpu = cpuSeconds();
            long began = System.nanoTime();
            tables.executeSql(statements[statements.length - 1]).await();
            report(run == 0 ? "first" : "again", (System.nanoTime() - began) / 1e9, cpuSeconds() - cpu);
        }
        System.exit(0);
    }
}
