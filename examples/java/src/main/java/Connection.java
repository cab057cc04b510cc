import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Properties;

/**
 * How to reach the brokers, from the variables that emberline's own programs take too:
 * docs/secured-kafka.md describes them.
 */
final class Connection {
    static final String PREFIX = variable("EMBERLINE_PREFIX", "emberline.");
    /** Of docs/secured-kafka.md, what this example leaves to your program. */
    private static final List<String> UNSUPPORTED = List.of("TOKEN_URL", "CHECK_HOSTNAME");

    private static final String MODULES = "org.apache.kafka.common.security.";

    private Connection() {}

    /** The options that a producer and a consumer have in common. */
    static Properties options() throws IOException {
        for (String name : UNSUPPORTED) {
            if (!setting(name, "").isEmpty()) {
                fail("EMBERLINE_KAFKA_" + name + " is set, and this example does not support it");
            }
        }
        var brokers = variable("KAFKA_BOOTSTRAP_SERVERS", "");
        if (brokers.isEmpty()) {
            fail("Set KAFKA_BOOTSTRAP_SERVERS to the brokers: host:port, with commas between");
        }
        var security = setting("SECURITY", "plaintext").toUpperCase();
        var options = new Properties();
        options.put("bootstrap.servers", brokers);
        options.put("security.protocol", security);
        if (security.endsWith("SSL")) {
            tls(options);
        }
        if (security.startsWith("SASL")) {
            sasl(options, setting("SASL_MECHANISM", "SCRAM-SHA-512"));
        }
        return options;
    }

    private static void tls(Properties options) throws IOException {
        var authority = setting("CA_FILE", "");
        if (!authority.isEmpty()) {
            options.put("ssl.truststore.type", "PEM");
            options.put("ssl.truststore.location", authority);
        }
        var certificate = setting("CERT_FILE", "");
        if (!certificate.isEmpty()) {
            options.put("ssl.keystore.type", "PEM");
            options.put("ssl.keystore.certificate.chain", Files.readString(Path.of(certificate)));
            // PKCS #8, which begins with BEGIN PRIVATE KEY or BEGIN ENCRYPTED PRIVATE KEY
            var key = Files.readString(Path.of(setting("KEY_FILE", certificate)));
            options.put("ssl.keystore.key", key);
            if (!secret("KEY_PASSWORD").isEmpty()) {
                options.put("ssl.key.password", secret("KEY_PASSWORD"));
            }
        }
    }

    private static void sasl(Properties options, String mechanism) throws IOException {
        options.put("sasl.mechanism", mechanism);
        if (mechanism.equals("OAUTHBEARER")) {
            // the file is read again for each login, so another program may renew it
            var file = Path.of(setting("TOKEN_FILE", "")).toAbsolutePath();
            System.setProperty("org.apache.kafka.sasl.oauthbearer.allowed.files", file.toString());
            System.setProperty("org.apache.kafka.sasl.oauthbearer.allowed.urls", file.toUri().toString());
            options.put("sasl.login.callback.handler.class", MODULES + "oauthbearer.OAuthBearerLoginCallbackHandler");
            options.put("sasl.oauthbearer.token.endpoint.url", file.toUri().toString());
            options.put("sasl.jaas.config", MODULES + "oauthbearer.OAuthBearerLoginModule required;");
            return;
        }
        var module = mechanism.equals("PLAIN") ? "plain.Plain" : "scram.Scram";
        options.put(
                "sasl.jaas.config",
                "%s%sLoginModule required username=\"%s\" password=\"%s\";"
                        .formatted(MODULES, module, quoted(setting("SASL_USER", "")), quoted(secret("SASL_PASSWORD"))));
    }

    /** Ends the program with a sentence on standard error. */
    static void fail(String sentence) {
        System.err.println(sentence);
        System.exit(1);
    }

    static String variable(String name, String otherwise) {
        var value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }

    private static String setting(String name, String otherwise) {
        return variable("EMBERLINE_KAFKA_" + name, otherwise);
    }

    /** The first line of the file that the variable NAME_FILE names, or the variable NAME. */
    private static String secret(String name) throws IOException {
        var file = setting(name + "_FILE", "");
        return file.isEmpty() ? setting(name, "") : Files.readString(Path.of(file)).lines().findFirst().orElse("").strip();
    }

    private static String quoted(String text) {
        return text.replace("\\", "\\\\").replace("\"", "\\\"");
    }
}
