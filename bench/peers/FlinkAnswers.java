import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.LocalZonedTimestampType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.TimestampType;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/**
 * Answers SQL by Flink: reads a statement a line from standard input, line feeds written as \n, and
 * prints a line of JSON for each: its rows, with cells as texts in Thalweg's notation, or why it
 * failed. The line `--new` begins anew, without tables.
 */
public final class FlinkAnswers {
    /** A setting, which is the client's business in Flink. */
    private static final Pattern SET = Pattern.compile("SET '(.*)' = '(.*)'");
    private static TableEnvironment tables;

    private static void begin() {
        Configuration options = new Configuration();
        options.setString("parallelism.default", "1");
        options.setString("table.local-time-zone", "UTC");
        tables = TableEnvironment.create(EnvironmentSettings.newInstance()
                .inBatchMode().withConfiguration(options).build());
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        begin();
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            if (line.equals("--new")) {
                begin();
                continue;
            }
            String statement = line.replace("\\n", "\n");
            try {
                var set = SET.matcher(statement);
                if (set.matches()) {
                    tables.getConfig().set(set.group(1), set.group(2));
                    // Flink looks at a zone when it is asked for, not when it is set.
                    tables.getConfig().getLocalTimeZone();
                    out.println("{\"rows\":[]}");
                    continue;
                }
                out.println("{\"rows\":" + rows(tables.executeSql(statement)) + "}");
            } catch (Throwable error) {
                Throwable cause = error;
                while (cause.getCause() != null && cause.getCause() != cause) {
                    cause = cause.getCause();
                }
                String message = String.valueOf(cause.getMessage());
                out.println("{\"error\":" + quoted(message.split("\n")[0]) + "}");
            }
        }
        System.exit(0);
    }

    private static String rows(TableResult result) throws Exception {
        List<DataType> types = result.getResolvedSchema().getColumnDataTypes();
        List<String> rows = new ArrayList<>();
        try (CloseableIterator<Row> all = result.collect()) {
            while (all.hasNext()) {
                Row row = all.next();
                List<String> cells = new ArrayList<>();
                for (int at = 0; at < row.getArity(); at++) {
                    Object value = row.getField(at);
                    String cell = cell(value, types.get(at).getLogicalType());
                    cells.add(quoted(value == null ? "NULL" : cell.isEmpty() ? "(empty)" : cell));
                }
                rows.add("[" + String.join(",", cells) + "]");
            }
        }
        return "[" + String.join(",", rows) + "]";
    }

    private static String cell(Object value, LogicalType type) {
        if (value instanceof String || value instanceof LocalDate) {
            return value.toString();
        } else if (value instanceof LocalTime time) {
            return time.format(DateTimeFormatter.ofPattern("HH:mm:ss"))
                    + (time.getNano() == 0 ? "" : "." + String.format("%03d", time.getNano() / 1_000_000));
        } else if (value instanceof LocalDateTime time) {
            return time(time, ((TimestampType) type).getPrecision());
        } else if (value instanceof Instant instant) {
            int digits = ((LocalZonedTimestampType) type).getPrecision();
            return time(LocalDateTime.ofInstant(instant, ZoneOffset.UTC), digits) + "Z";
        } else if (value instanceof byte[] bytes) {
            return Base64.getEncoder().encodeToString(bytes);
        }
        return json(value, type);
    }

    private static String time(LocalDateTime time, int digits) {
        String whole = time.format(DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss"));
        int shown = digits == 0 ? 0 : digits <= 3 ? 3 : digits <= 6 ? 6 : 9;
        String fraction = String.format("%09d", time.getNano()).substring(0, shown);
        return shown == 0 ? whole : whole + "." + fraction;
    }

    private static String json(Object value, LogicalType type) {
        List<LogicalType> inner = type.getChildren();
        if (value == null) {
            return "null";
        } else if (value instanceof BigDecimal number) {
            return number.toPlainString();
        } else if (value instanceof Double || value instanceof Float) {
            return number(((Number) value).doubleValue(), value.toString());
        } else if (value instanceof Number || value instanceof Boolean) {
            return value.toString();
        } else if (value instanceof Row row) {
            List<String> fields = new ArrayList<>();
            List<String> names =
                    ((org.apache.flink.table.types.logical.RowType) type).getFieldNames();
            for (int at = 0; at < row.getArity(); at++) {
                fields.add(quoted(names.get(at)) + ":" + json(row.getField(at), inner.get(at)));
            }
            return "{" + String.join(",", fields) + "}";
        } else if (value instanceof Object[] items) {
            List<String> cells = new ArrayList<>();
            for (Object item : items) {
                cells.add(json(item, inner.get(0)));
            }
            return "[" + String.join(",", cells) + "]";
        } else if (value instanceof Map<?, ?> map) {
            Map<String, String> entries = new TreeMap<>();
            // A MULTISET says how often there is what, by numbers without a type of their own.
            LogicalType counted = inner.size() > 1 ? inner.get(1) : type;
            map.forEach((key, one) -> entries.put(cell(key, inner.get(0)), json(one, counted)));
            List<String> cells = new ArrayList<>();
            entries.forEach((key, one) -> cells.add(quoted(key) + ":" + one));
            return "{" + String.join(",", cells) + "}";
        }
        return quoted(cell(value, type));
    }

    /** Shortest digits, as Java found them, in the notation of Rust. */
    private static String number(double value, String shortest) {
        if (Double.isNaN(value) || Double.isInfinite(value)) {
            return Double.isNaN(value) ? "NaN" : value > 0 ? "inf" : "-inf";
        }
        BigDecimal exact = new BigDecimal(shortest).stripTrailingZeros();
        if (value == 0) {
            return 1 / value < 0 ? "-0.0" : "0.0";
        }
        double size = Math.abs(value);
        if (size >= 1e16 || size < 1e-5) {
            int exponent = exact.precision() - exact.scale() - 1;
            return exact.movePointLeft(exponent).stripTrailingZeros().toPlainString() + "e" + exponent;
        }
        String plain = exact.toPlainString();
        return plain.contains(".") ? plain : plain + ".0";
    }

    private static String quoted(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            switch (c) {
                case '"' -> quoted.append("\\\"");
                case '\\' -> quoted.append("\\\\");
                case '\n' -> quoted.append("\\n");
                case '\r' -> quoted.append("\\r");
                case '\t' -> quoted.append("\\t");
                default -> {
                    if (c < 0x20) {
                        quoted.append(String.format("\\u%04x", (int) c));
                    } else {
                        quoted.append(c);
                    }
                }
            }
        }
        return quoted.append('"').toString();
    }
}
